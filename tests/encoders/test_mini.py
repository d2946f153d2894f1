"""The small default encoder."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file
from transformers import BertModel, Dinov2Model

from camml import encoders
from camml.encoders import passage_share
from camml.encoders.mini import PASSAGE_SHARE, PATCH_SHARE, PLAIN_SHARE, SHARPNESS, _prepare
from camml.errors import ModelFolderError, OptionError
from tests.encoders.tiny_encoders import TEXTS, build, images, save_mini


def test_an_image_is_its_cls_token_beside_the_mean_of_patches_like_it(tmp_path: Path) -> None:
    options = save_mini(tmp_path)
    encoder = encoders.load("mini", **options)
    image = images()[0]
    squashed = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC), np.float32) / 255
    pixels = (squashed - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        model = Dinov2Model.from_pretrained(options["vision"])
        tokens = model(torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None]).last_hidden_state[0]
    cls, patches = tokens[0], tokens[1:]
    weights = torch.softmax(SHARPNESS * torch.cosine_similarity(patches, cls[None], dim=1), 0)
    assert weights.max() > 2 * weights.min()  # or a plain mean would pass
    parts = [cls, weights @ patches]
    expected = torch.cat([part / part.norm() for part in parts]) / 2**0.5
    np.testing.assert_allclose(encoder.embed_images([image])[0], expected, atol=1e-5)


def test_a_text_is_its_mean_token_without_padding(tmp_path: Path) -> None:
    options = save_mini(tmp_path)
    encoder = encoders.load("mini", **options)
    with torch.no_grad():
        ids = encoder._tokenizer(TEXTS[0], return_tensors="pt")
        mean = BertModel.from_pretrained(options["text"])(**ids).last_hidden_state[0].mean(0)
    np.testing.assert_allclose(encoder.embed_texts(TEXTS[:3])[0], mean / mean.norm(), atol=1e-5)


def test_a_text_is_read_up_to_256_tokens(tmp_path: Path) -> None:
    encoder = build("mini", tmp_path)
    whole, longer, other = encoder.embed_texts(["a" * 254, "a" * 254 + "b" * 50, "a" * 253 + "b"])
    assert np.linalg.norm(whole - longer) < 1e-5 < np.linalg.norm(whole - other) / 10


def test_the_revision_follows_the_weights(tmp_path: Path) -> None:
    options = save_mini(tmp_path)
    before = encoders.load("mini", **options).revision
    assert encoders.load("mini", **options).revision == before
    model = BertModel.from_pretrained(options["text"])
    with torch.no_grad():
        model.encoder.layer[1].output.dense.weight *= 1.01
    model.save_pretrained(options["text"])
    assert encoders.load("mini", **options).revision != before


def save_heads(path: Path, image: int, text: int, shared: int = 5) -> Path:
    """Random maps from vectors of those widths to a shared one."""
    random = torch.Generator().manual_seed(1)
    heads = {"image": torch.randn(shared, image, generator=random), "text": torch.randn(shared, text, generator=random)}
    save_file(heads, path)
    return path


def scaled(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_heads_bring_texts_to_images_and_leave_them_among_texts(tmp_path: Path) -> None:
    options = save_mini(tmp_path)
    plain = encoders.load("mini", **options)
    file = save_heads(tmp_path / "heads.safetensors", plain.image_dim, plain.text_dim)
    joint = encoders.load("mini", **options, heads=str(file))
    heads = load_file(file)
    assert (plain.joint, joint.joint) == (False, True)
    assert (joint.image_dim, joint.text_dim) == (plain.image_dim + 5, plain.text_dim)
    assert joint.revision != plain.revision
    before, seen = plain.embed_images(images()), joint.embed_images(images())
    np.testing.assert_allclose(seen[:, : plain.image_dim], PLAIN_SHARE**0.5 * before, atol=1e-5)
    mapped = scaled(before @ heads["image"].numpy().T)
    np.testing.assert_allclose(seen[:, plain.image_dim :], (1 - PLAIN_SHARE) ** 0.5 * mapped, atol=1e-5)
    moved = encoders.among_images(joint, joint.embed_texts(TEXTS))
    texts = scaled(plain.embed_texts(TEXTS) @ heads["text"].numpy().T)
    np.testing.assert_allclose(moved @ seen.T, (1 - PLAIN_SHARE) ** 0.5 * texts @ mapped.T, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(joint.embed_texts(TEXTS), plain.embed_texts(TEXTS))
    np.testing.assert_array_equal(encoders.among_images(plain, plain.embed_texts(TEXTS)), plain.embed_texts(TEXTS))


def test_plain_and_mapped_vectors_count_by_how_little_they_spread(tmp_path: Path) -> None:
    options = save_mini(tmp_path)
    plain = encoders.load("mini", **options)
    file = save_heads(tmp_path / "heads.safetensors", plain.image_dim, plain.text_dim)
    joint = encoders.load("mini", **options, heads=str(file))
    seen = joint.embed_images(images())
    stored = np.concatenate([seen] * 4)
    cut = plain.image_dim
    shares = PLAIN_SHARE, 1 - PLAIN_SHARE
    cosines = [
        seen[:, part] @ stored[:, part].T / share
        for part, share in zip((slice(cut), slice(cut, None)), shares, strict=True)
    ]
    weights = [1 / cosine.std(axis=1, keepdims=True) for cosine in cosines]
    wanted = sum(w * cosine for w, cosine in zip(weights, cosines, strict=True)) / sum(weights)
    balanced = joint.balance(seen, stored) @ stored.T
    np.testing.assert_allclose(balanced, wanted, atol=1e-4)
    np.testing.assert_allclose(balanced[:, : len(seen)].diagonal(), 1, atol=1e-4)  # a picture is still itself
    np.testing.assert_array_equal(joint.balance(seen, stored[:7]), seen)  # too few to tell
    np.testing.assert_array_equal(plain.balance(seen[:, :cut], stored[:, :cut]), seen[:, :cut])


def test_heads_of_other_widths_are_refused(tmp_path: Path) -> None:
    options = save_mini(tmp_path)
    file = save_heads(tmp_path / "heads.safetensors", 3, 4)
    with pytest.raises(OptionError, match="no maps for towers of the widths"):
        encoders.load("mini", **options, heads=str(file))
    with pytest.raises(OptionError, match="camml align"):
        encoders.load("mini", **options, heads=str(tmp_path / "none.safetensors"))


def test_a_grid_adds_the_mean_patch_of_each_cell(tmp_path: Path) -> None:
    options = save_mini(tmp_path)
    plain, placed = encoders.load("mini", **options, side=56), encoders.load("mini", **options, side=56, grid=2)
    assert (plain.image_dim, placed.image_dim) == (2 * 16, 6 * 16)
    assert placed.revision != plain.revision
    before, after = (item.embed_images(images()).reshape(4, -1, 16) for item in (plain, placed))
    np.testing.assert_allclose(after[:, 0] * 3**0.5, before[:, 0], atol=1e-6)  # six parts of equal weight, not two
    np.testing.assert_allclose(np.linalg.norm(after, axis=2), 6**-0.5, atol=1e-6)
    whole = encoders.load("mini", **options, side=56, grid=1).embed_images(images()).reshape(4, 3, 16)
    np.testing.assert_allclose(whole[:, 1], whole[:, 2], atol=1e-6)  # one cell is the whole picture
    np.testing.assert_allclose(whole[:, 1] / 2**0.5, after[:, 1], atol=1e-6)
    half = Image.new("RGB", (56, 56), "white")
    half.paste("black", (0, 0, 28, 56))
    left, right = (placed.embed_images([half if side else ImageOps.mirror(half)])[0] for side in (1, 0))
    assert left @ right < plain.embed_images([half])[0] @ plain.embed_images([ImageOps.mirror(half)])[0]


def test_heads_know_the_grid_they_were_learned_with(tmp_path: Path) -> None:
    options = save_mini(tmp_path)
    placed = encoders.load("mini", **options, side=56, grid=2)
    file = save_heads(tmp_path / "heads.safetensors", placed.image_dim, placed.text_dim)
    joint = encoders.load("mini", **options, side=56, heads=str(file))
    expected = (1 - PLAIN_SHARE) ** 0.5 * scaled(placed.embed_images(images()) @ load_file(file)["image"].numpy().T)
    np.testing.assert_allclose(joint.embed_images(images())[:, 2 * 16 :], expected, atol=1e-5)


@pytest.mark.parametrize("grid", [-1, 5])
def test_a_grid_has_at_most_a_cell_a_patch(tmp_path: Path, grid: int) -> None:
    with pytest.raises(OptionError, match=f"grid is {grid}; give 0, or a number of cells up to 4"):
        encoders.load("mini", **save_mini(tmp_path), side=56, grid=grid)


def test_a_side_is_a_number_of_whole_patches(tmp_path: Path) -> None:
    options = save_mini(tmp_path)
    assert encoders.load("mini", **options, side=112).revision != encoders.load("mini", **options).revision
    with pytest.raises(OptionError, match="side is 100; give a multiple of"):
        encoders.load("mini", **options, side=100)


def test_the_share_of_the_nearest_passage_is_an_option_that_leaves_vectors_as_they_are(tmp_path: Path) -> None:
    options = save_mini(tmp_path)
    usual, whole = encoders.load("mini", **options), encoders.load("mini", **options, passage_share=0)
    assert (passage_share(usual), passage_share(whole)) == (PASSAGE_SHARE, 0)
    assert usual.revision == whole.revision
    for wrong in (-0.1, 1.5, 2):
        with pytest.raises(OptionError, match=f"passage_share is {wrong}; give a share from 0 to 1"):
            encoders.load("mini", **options, passage_share=wrong)
    with pytest.raises(OptionError, match="takes float, not True"):
        encoders.load("mini", **options, passage_share=True)


@pytest.mark.long
@pytest.mark.weights
def test_the_real_weights_know_meanings_and_shapes() -> None:
    encoder = encoders.load("mini")
    query, near, far = encoder.embed_texts(
        ["How do I cook pasta?", "Boil spaghetti in water.", "The stock market fell."]
    )
    assert query @ near > query @ far + 0.2
    cross, stripes = Image.new("RGB", (120, 80), "red"), Image.new("RGB", (120, 80), "red")
    cross.paste("white", (30, 0, 45, 80))
    cross.paste("white", (0, 32, 120, 48))
    stripes.paste("white", (0, 27, 120, 54))
    smaller = cross.resize((90, 60)).convert("L").convert("RGB")
    assert (encoder.embed_images([smaller]) @ encoder.embed_images([cross, stripes]).T).argmax() == 0


def part_by_part(asked: np.ndarray, stored: np.ndarray) -> float:
    """Return how well the patches of one image match those of another."""
    asked, stored = (scaled(its.astype(np.float32)) for its in (asked, stored))
    weights = np.exp(SHARPNESS * asked[1:] @ asked[0])
    return float(((asked[1:] @ stored[1:].T).max(axis=1) * weights).sum() / weights.sum())


class TestPatches:
    def test_are_those_most_like_the_whole(self, tmp_path: Path) -> None:
        encoder = encoders.load("mini", **save_mini(tmp_path), side=56, patches=7)
        vectors, patches = encoder.embed_with_patches(images())
        np.testing.assert_allclose(vectors, encoder.embed_images(images()), atol=1e-6)
        pixels = torch.from_numpy(np.stack([_prepare(image.convert("RGB"), 56) for image in images()]))
        with torch.inference_mode():
            tokens = encoder._vision(pixel_values=pixels).last_hidden_state.numpy()
        for its, rows in zip(patches, map(scaled, tokens), strict=True):
            whole, *parts = scaled(its.astype(np.float32))
            np.testing.assert_allclose(whole, rows[0], atol=0.02)
            np.testing.assert_allclose(parts @ whole, np.sort(rows[1:] @ rows[0])[:-8:-1], atol=0.02)
            np.testing.assert_allclose((parts @ rows[1:].T).max(axis=1), 1, atol=1e-3)

    def test_make_a_share_of_the_likeness(self, tmp_path: Path) -> None:
        encoder = encoders.load("mini", **save_mini(tmp_path), side=56, patches=7)
        vectors, patches = encoder.embed_with_patches(images())
        for vector, its, number in zip(vectors, patches, range(len(patches)), strict=True):
            likeness = encoder.likeness(vector, its, vectors, patches)
            assert likeness.shape == (len(patches),)
            assert likeness[number] == pytest.approx(1, abs=1e-3)
            assert (likeness <= 1 + 1e-5).all()
        matched = part_by_part(*patches[:2])
        wanted = (1 - PATCH_SHARE) * vectors[0] @ vectors[1] + PATCH_SHARE * matched
        likeness = encoder.likeness(vectors[0], patches[0], vectors[1:2], patches[1:2])
        assert likeness[0] == pytest.approx(wanted, abs=1e-5)

    def test_count_as_the_plain_vectors_do_that_they_stand_in_for(self, tmp_path: Path) -> None:
        options = save_mini(tmp_path)
        plain = encoders.load("mini", **options)
        file = save_heads(tmp_path / "heads.safetensors", plain.image_dim, plain.text_dim)
        encoder = encoders.load("mini", **options, side=56, patches=7, heads=str(file))
        vectors, patches = encoder.embed_with_patches(images())
        known = encoder.balance(vectors, np.repeat(vectors, 3, axis=0))
        part = slice(None, encoder._plain_dim)
        for asked, vector, its in zip(known, vectors, patches, strict=True):
            # a vector's product with itself is its weights, which add up to one
            weight = float(asked[part] @ vector[part])
            assert encoder.likeness(asked, its, vector[None], [its])[0] == pytest.approx(1, abs=1e-3)
            whole = vectors[0] @ asked - PATCH_SHARE * vectors[0][part] @ asked[part]
            wanted = whole + PATCH_SHARE * weight * part_by_part(its, patches[0])
            assert encoder.likeness(asked, its, vectors[:1], patches[:1])[0] == pytest.approx(wanted, abs=1e-5)

    def test_can_be_fewer_or_none(self, tmp_path: Path) -> None:
        options = save_mini(tmp_path)
        few = encoders.load("mini", **options, side=28)
        assert few.patches == 4  # all that there are
        none = encoders.load("mini", **options, side=28, patches=0)
        assert encoders.patch_encoder(few) is few
        assert encoders.patch_encoder(none) is None
        assert few.revision == none.revision  # vectors are the same
        with pytest.raises(OptionError, match="patches is -1; give 0 for none"):
            encoders.load("mini", **options, patches=-1)


def test_folders_without_towers_are_refused(tmp_path: Path) -> None:
    options = save_mini(tmp_path)
    (tmp_path / "empty").mkdir()
    for wrong in ({"vision": str(tmp_path / "empty")}, {"vision": options["text"]}):
        with pytest.raises(ModelFolderError, match="are not two towers that load"):
            encoders.load("mini", **{**options, **wrong})
