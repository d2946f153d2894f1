"""Very long and very thin pictures."""

import numpy as np
import pytest
from PIL import Image

from camml.images import cuts_middle, middle_of_strip
from camml.images._shapes import LONGEST_STRIP


@pytest.mark.parametrize("size", [(1, 1), (16, 1), (640, 480), (480, 640), (1600, 100), (3, 48)])
def test_ordinary_shapes_are_left_alone(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size)
    assert middle_of_strip(image) is image


@pytest.mark.parametrize("size", [(1000, 1), (1001, 3), (1, 64_000), (2, 20_001), (17, 1), (18, 1)])
def test_of_a_strip_the_middle_is_kept(size: tuple[int, int]) -> None:
    width, height = size
    places = np.arange(width * height) % 65521
    middle = middle_of_strip(Image.fromarray(places.reshape(height, width).astype(np.int32)))
    assert max(middle.size) <= LONGEST_STRIP * min(middle.size)
    assert min(middle.size) == min(size)
    assert (width - middle.width) % 2 == (height - middle.height) % 2 == 0
    left, top = (width - middle.width) // 2, (height - middle.height) // 2
    assert middle.getpixel((0, 0)) == places.reshape(height, width)[top, left]


def test_only_processors_that_cut_out_the_middle_are_said_to() -> None:
    from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

    assert cuts_middle(CLIPImageProcessorPil())
    assert not cuts_middle(CLIPImageProcessorPil(do_center_crop=False))
    assert not cuts_middle(CLIPImageProcessorPil(size={"shortest_edge": 56, "longest_edge": 112}))
    assert not cuts_middle(SiglipImageProcessorPil())
    assert not cuts_middle(object())


@pytest.mark.parametrize("size", [(2_000_000, 2), (3, 1_000_000)])
def test_a_strip_is_prepared_in_little_memory(size: tuple[int, int]) -> None:
    """Without the cut the first would become a picture of 224 million by 224 pixels."""
    from transformers import CLIPImageProcessorPil

    strip = middle_of_strip(Image.new("RGB", size, "red"))
    [pixels] = CLIPImageProcessorPil()(strip, return_tensors="np")["pixel_values"]
    assert pixels.shape == (3, 224, 224)


@pytest.mark.parametrize("size", [(4000, 200), (201, 4000), (997, 50)])
def test_the_middle_of_a_strip_is_what_would_have_been_seen(size: tuple[int, int]) -> None:
    from transformers import CLIPImageProcessorPil

    line = (127 + 127 * np.sin(np.linspace(0, 40, max(size)))).astype(np.uint8)
    image = Image.fromarray(line[None]).convert("RGB").resize((max(size), min(size)))
    if size[1] > size[0]:
        image = image.transpose(Image.Transpose.ROTATE_90)
    prepare = CLIPImageProcessorPil()
    whole, middle = (prepare(shown, return_tensors="np")["pixel_values"] for shown in (image, middle_of_strip(image)))
    assert np.abs(whole - middle).max() < 0.05
