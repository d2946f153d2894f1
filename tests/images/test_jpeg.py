"""JPEG files that lack something at their end."""

import io
import logging
import time

import numpy as np
import pytest
from PIL import Image

from camml.errors import ImageError
from camml.images import _jpeg, open_image


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


@pytest.mark.long
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


def bomb(scans: int, progressive: bool, size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture whose last scan comes again and again."""
    data = encoded(Image.new("RGB", size, "red"), progressive=progressive)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


@pytest.mark.long
@pytest.mark.parametrize("progressive", [False, True])
def test_endless_scans_are_refused_before_they_are_decoded(progressive: bool) -> None:
    for size in ((64, 48), (5000, 5000)):
        data = bomb(500, progressive, size)
        begun = time.process_time()
        with pytest.raises(ImageError, match="more than 64 scans"):
            open_image(data)
        assert time.process_time() - begun < 5  # to decode the larger one takes minutes


def test_the_scans_of_ordinary_files_are_counted() -> None:
    assert _jpeg.scans(io.BytesIO(encoded(noise()))) == 1
    assert 4 < _jpeg.scans(io.BytesIO(encoded(noise(), progressive=True))) < 20
    stream = io.BytesIO(bomb(30, True))
    stream.seek(7)
    assert 30 < _jpeg.scans(stream) < 60
    assert stream.tell() == 7


def test_what_looks_like_a_scan_in_notes_or_behind_the_end_does_not_count() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0" + b"\xff\xda\0\x02" * 1000
    data = encoded(noise(), exif=exif, comment=b"\xff\xda" * 1000) + b"\xff\xda\0\x02" * 1000
    assert _jpeg.scans(io.BytesIO(data)) == 1
    assert open_image(data).size == noise().size


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xda", b"\xff\xd8" + b"\xff\xe1\0\0" * 1000])
def test_counting_ends_whatever_is_counted(data: bytes) -> None:
    assert _jpeg.scans(io.BytesIO(data)) <= 1


def test_a_long_run_of_fill_bytes_is_counted_at_once() -> None:
    started = time.process_time()
    assert _jpeg.scans(io.BytesIO(b"\xff\xd8" + b"\xff" * 1_000_000 + b"\0")) == 0
    assert _jpeg.scans(io.BytesIO(b"\xff\xd8" + b"\xff" * 1_000_000 + b"\xda\0\x02")) == 1
    assert time.process_time() - started < 5
