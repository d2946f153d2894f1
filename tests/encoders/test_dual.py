"""Dual encoders of transformers."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoTokenizer

from camml import encoders
from camml.encoders import dual
from camml.errors import ModelFolderError
from tests.encoders.tiny_encoders import build, images, save_clip, save_mini, save_siglip


def features(output: object) -> np.ndarray:
    """One unit vector, whatever this release of transformers wraps it in."""
    tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    vector = tensor[0].detach().numpy()
    return vector / np.linalg.norm(vector)


def test_clip_texts_are_what_the_model_gives_for_the_text_alone(tmp_path: Path) -> None:
    options = save_clip(tmp_path)
    model, tokenizer = AutoModel.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("a red dog", return_tensors="pt")["input_ids"]
    result = encoders.load("dual", **options).embed_texts(["a red dog", "a much longer text"])[0]
    np.testing.assert_allclose(result, features(model.get_text_features(input_ids=ids)), atol=1e-5)


def test_siglip_texts_are_lower_case_and_padded_to_64_tokens_without_a_mask(tmp_path: Path) -> None:
    options = save_siglip(tmp_path)
    model, tokenizer = AutoModel.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("a red dog", padding="max_length", max_length=64, return_tensors="pt")["input_ids"]
    assert ids.shape == (1, 64)
    result = encoders.load("dual", **options).embed_texts(["A Red Dog"])[0]
    np.testing.assert_allclose(result, features(model.get_text_features(input_ids=ids)), atol=1e-5)


@pytest.mark.parametrize(("kind", "text"), [("clip", "a.red.dog"), ("siglip", "a.red.dog")])
def test_its_tokens_stand_for_their_text_and_are_counted(kind: str, text: str, tmp_path: Path) -> None:
    encoder = build(kind, tmp_path)
    tokens = encoder._tokenizer(text)["input_ids"]
    assert encoder.text_of(tokens).replace(" ", "") == text
    assert encoder.count_tokens([text]) == encoder.count_tokens([text.title()]) == len(tokens)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_images_are_what_the_model_gives(kind: str, tmp_path: Path) -> None:
    encoder = build(kind, tmp_path)
    image = images()[1]
    pixels = encoder._image_processor(images=[image], return_tensors="pt")["pixel_values"]
    expected = features(AutoModel.from_pretrained(tmp_path / kind).get_image_features(pixel_values=pixels))
    np.testing.assert_allclose(encoder.embed_images([image])[0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip", "imagebind"])
def test_a_strip_takes_little_memory(kind: str, tmp_path: Path) -> None:
    """Two rows of a million pixels: with the short side brought to the tower's, that were gigabytes."""
    strip = Image.new("RGB", (1_000_000, 2), "red")
    vectors = build(kind, tmp_path).embed_images([strip, Image.new("RGB", (32, 2), "red")])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


def test_the_model_may_give_tensors_or_objects() -> None:
    tensor = torch.ones(2, 3)
    assert dual._features(tensor) is tensor
    assert dual._features(SimpleNamespace(pooler_output=tensor)) is tensor


def test_the_revision_follows_weights_and_preprocessing(tmp_path: Path) -> None:
    options = save_clip(tmp_path)
    before = encoders.load("dual", **options).revision
    assert encoders.load("dual", **options).revision == before
    config = tmp_path / "preprocessor_config.json"
    config.write_text(config.read_text().replace('"do_center_crop": true', '"do_center_crop": false'))
    assert encoders.load("dual", **options).revision != before


def test_another_kind_of_model_is_an_error(tmp_path: Path) -> None:
    save_clip(tmp_path / "clip")  # for its processors
    text = Path(save_mini(tmp_path / "mini")["text"])
    (text / "preprocessor_config.json").write_text((tmp_path / "clip" / "preprocessor_config.json").read_text())
    with pytest.raises(ModelFolderError, match="is a BertModel, which has no text and image towers in one space"):
        encoders.load("dual", model=str(text))


@pytest.mark.parametrize("content", [None, "not json", '{"model_type": "nonsense"}'])
def test_a_folder_that_is_no_model_is_an_error(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelFolderError, match="does not load"):
        encoders.load("dual", model=str(tmp_path))


def test_a_broken_weights_file_is_an_error(tmp_path: Path) -> None:
    options = save_clip(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelFolderError, match="does not load"):
        encoders.load("dual", **options)
