"""What every encoder keeps to, whatever it is made of."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camml import plugins
from camml.encoders import Encoder, among_images, load
from camml.errors import OptionError, UnknownNameError
from tests.encoders.tiny_encoders import KINDS, TEXTS, build, images


@pytest.fixture(scope="module", params=KINDS)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder of each kind."""
    return build(request.param, tmp_path_factory.mktemp("encoders"))


def test_every_encoder_of_the_folder_is_tested_here() -> None:
    assert {name for name, _ in KINDS.values()} == set(plugins.names("encoders"))


def test_an_unknown_encoder_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="dual, hashed, imagebind, mini"):
        load("clever")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 3}, "the encoder 'hashed' has no option 'width'; it has: dim, joint"),
        ({"dim": "wide"}, "the option 'dim' of 'hashed' takes int, not 'wide'"),
    ],
)
def test_a_wrong_option_is_an_error_that_lists_the_right_ones(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load("hashed", **options)


class TestVectors:
    def test_have_the_shape_told_and_length_1(self, encoder: Encoder) -> None:
        for vectors, dim in (
            (encoder.embed_texts(TEXTS), encoder.text_dim),
            (encoder.embed_images(images()), encoder.image_dim),
        ):
            assert vectors.dtype == np.float32
            assert vectors.shape[1] == dim
            np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        if encoder.joint:
            moved = among_images(encoder, encoder.embed_texts(TEXTS))
            assert moved.shape == (len(TEXTS), encoder.image_dim)
            np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-5)

    def test_of_nothing_are_none(self, encoder: Encoder) -> None:
        assert encoder.embed_texts([]).shape == (0, encoder.text_dim)
        assert encoder.embed_images([]).shape == (0, encoder.image_dim)

    def test_do_not_depend_on_who_shares_the_batch(self, encoder: Encoder) -> None:
        together = encoder.embed_texts(TEXTS)
        alone = np.concatenate([encoder.embed_texts([text]) for text in TEXTS])
        np.testing.assert_allclose(together, alone, atol=1e-5)
        np.testing.assert_allclose(encoder.embed_texts(TEXTS[::-1])[::-1], together, atol=1e-5)
        together = encoder.embed_images(images())
        alone = np.concatenate([encoder.embed_images([image]) for image in images()])
        np.testing.assert_allclose(together, alone, atol=1e-5)

    def test_tell_inputs_apart(self, encoder: Encoder) -> None:
        texts, pictures = encoder.embed_texts(["a red dog", "flag of Norway"]), encoder.embed_images(images()[:3])
        assert np.linalg.norm(texts[0] - texts[1]) > 0.01
        for first, second in combinations(pictures, 2):
            assert np.linalg.norm(first - second) > 0.01

    def test_of_images_do_not_depend_on_the_mode(self, encoder: Encoder) -> None:
        gray = Image.new("L", (40, 40), 90)
        np.testing.assert_array_equal(encoder.embed_images([gray]), encoder.embed_images([gray.convert("RGB")]))


@pytest.mark.parametrize("kind", ["mini", "clip", "siglip", "imagebind"])
class TestOptions:
    def test_the_size_of_batches_changes_nothing(self, kind: str, tmp_path: Path) -> None:
        single, many = build(kind, tmp_path / "1", batch_size=1), build(kind, tmp_path / "2", batch_size=3)
        np.testing.assert_allclose(single.embed_texts(TEXTS), many.embed_texts(TEXTS), atol=1e-5)
        np.testing.assert_allclose(single.embed_images(images()), many.embed_images(images()), atol=1e-5)

    def test_half_precision_is_near_and_has_the_same_revision(self, kind: str, tmp_path: Path) -> None:
        full, half = build(kind, tmp_path / "1"), build(kind, tmp_path / "2", dtype="bfloat16")
        assert full.revision == half.revision
        assert (full.embed_images(images()) * half.embed_images(images())).sum(1).min() > 0.95
        assert half.embed_texts(TEXTS).dtype == np.float32

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"batch_size": 0}, "batch size must be at least 1"),
            ({"dtype": "int4"}, "float32, bfloat16, float16"),
            ({"device": "cuda:99"}, "cuda:99"),
            ({"device": "abacus"}, "abacus"),
        ],
    )
    def test_that_cannot_be_are_an_error(
        self, kind: str, options: dict[str, object], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(OptionError, match=message):
            build(kind, tmp_path, **options)
