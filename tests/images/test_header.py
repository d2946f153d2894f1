"""The beginning of an image file, without which nothing needs to be decoded."""

import io
import struct
from pathlib import Path

import pytest
from PIL import Image

from camml.errors import ImageError
from camml.images import check_header


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_the_beginning_of_a_picture_passes_and_is_not_decoded(format: str, tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (300, 200), "teal").save(file, format)
    (tmp_path / "whole").write_bytes(file.getvalue())
    check_header(tmp_path / "whole")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"no picture", "is not an image"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is not an image")],
)
def test_what_is_no_picture_is_named_with_its_trouble(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "it.png").write_bytes(content)
    with pytest.raises(ImageError, match=f"it.png: {message}"):
        check_header(tmp_path / "it.png")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dangling.png").symlink_to(tmp_path / "none")
    for path, message in ((tmp_path / "dangling.png", "no such image"), (tmp_path, "is a folder")):
        with pytest.raises(ImageError, match=message):
            check_header(path)


def test_one_with_too_many_pixels_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "BMP")
    data = bytearray(file.getvalue())
    data[18:26] = struct.pack("<ii", 10_000, 10_000)  # width and height
    (tmp_path / "bomb.bmp").write_bytes(data)
    with pytest.raises(ImageError, match="million pixels"):
        check_header(tmp_path / "bomb.bmp")
