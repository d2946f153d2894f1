"""JPEG files that lack something at their end."""

import io
import logging

import numpy as np
import pytest
from PIL import Image

from camml.errors import ImageError
from camml.images import open_image


def noise(width: int = 61, height: int = 45) -> Image.Image:
    values = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def encoded(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("cut", [1, 2])
def test_one_that_lacks_only_its_end_is_used_with_a_notice(
    mode: str, progressive: bool, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    data = encoded(noise().convert(mode), progressive=progressive)
    whole = open_image(data)
    assert not caplog.records
    with caplog.at_level(logging.WARNING, logger="camml"):
        assert open_image(data[:-cut]).tobytes() == whole.tobytes()
    assert "lacks its end" in caplog.text
    assert open_image(data[:-cut], max_side=16).size == (16, 12)


@pytest.mark.parametrize("plain", [False, True])
def test_one_that_lacks_pixels_is_refused(plain: bool) -> None:
    """The picture of one color is the hardest: most of what is cut off says nothing new."""
    image = Image.new("RGB", (400, 300), (200, 30, 40)) if plain else noise()
    data = encoded(image)
    whole = open_image(data).tobytes()
    opened = 0
    for size in range(20, len(data) - 2, 1 if plain else 7):
        try:
            assert open_image(data[:size]).tobytes() == whole
            opened += 1
        except ImageError as error:
            assert "cut short" in str(error)  # noqa: PT017 (both endings are fine)
    assert opened <= 1  # the last byte of the pixels may be padding


def test_one_that_is_damaged_in_another_way_is_refused_as_before() -> None:
    data = bytearray(encoded(noise()))
    frame = data.index(b"\xff\xc0")
    data[frame + 4] = 7  # bits a value
    with pytest.raises(ImageError, match=r"not an image|cannot be decoded"):
        open_image(bytes(data))
