"""The encoder without weights."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from camml import encoders
from camml.errors import OptionError


def circle(color: str, background: str = "white") -> Image.Image:
    """A disc of one colour."""
    image = Image.new("RGB", (64, 48), background)
    ImageDraw.Draw(image).ellipse((12, 4, 52, 44), fill=color)
    return image


def test_texts_are_nearer_the_more_words_they_share() -> None:
    query, near, far = encoders.load("hashed").embed_texts(
        ["The capital of Norway?", "Oslo is the capital of Norway", "a cat sleeps on a sofa"]
    )
    assert query @ near > 0.5
    assert abs(query @ far) < 0.3


def test_case_and_punctuation_do_not_matter_and_the_order_of_words_does() -> None:
    first, same, other = encoders.load("hashed").embed_texts(["Red, dog!", "red dog", "dog red"])
    assert first @ same == pytest.approx(1)
    assert first @ other < 0.999


def test_images_are_nearer_the_more_colours_and_edges_they_share() -> None:
    query, same_shape, other = encoders.load("hashed").embed_images(
        [circle("red"), circle("darkred"), Image.linear_gradient("L").convert("RGB")]
    )
    assert query @ same_shape > query @ other


def test_joint_a_colour_finds_its_image() -> None:
    encoder = encoders.load("hashed", joint=True)
    names = ["red", "green", "blue", "yellow", "black"]
    pictures = encoder.embed_images([circle(name, "gray") for name in names])
    texts = encoder.embed_texts([f"the {name} one" for name in names])
    assert (texts @ pictures.T).argmax(1).tolist() == list(range(len(names)))


def test_apart_texts_and_images_have_no_common_space() -> None:
    encoder = encoders.load("hashed", dim=100)
    assert not encoder.joint
    assert encoder.text_dim == 100
    assert encoder.image_dim == 384


def test_another_process_gives_the_same_vectors() -> None:
    code = "from camml import encoders; print(encoders.load('hashed').embed_texts(['a red dog'])[0].tolist())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert np.allclose(eval(said), encoders.load("hashed").embed_texts(["a red dog"])[0])


def test_the_revision_tells_the_options_apart() -> None:
    options = [{}, {"dim": 128}, {"joint": True}]
    assert len({encoders.load("hashed", **each).revision for each in options}) == 3


def test_a_dim_too_small_is_an_error() -> None:
    with pytest.raises(OptionError, match="at least 8, not 2"):
        encoders.load("hashed", dim=2)
