"""PNG files with long notes."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from camml.errors import ImageError
from camml.images import _png, check_image, format_of, open_image

RED = (255, 0, 0)
ORIENTATION = 0x0112
LONG = 2 * 2**20


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*before: bytes, behind: bytes = b"", size: tuple[int, int] = (3, 2)) -> bytes:
    width, height = size
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + bytes(RED) * width) * height
    parts = [chunk(b"IHDR", header), *before, chunk(b"IDAT", zlib.compress(rows)), behind, chunk(b"IEND", b"")]
    return _png.SIGNATURE + b"".join(parts)


def xmp(orientation: int) -> str:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="{orientation}"/></x:xmpmeta>'


NOTES = {
    "profile": chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(LONG))),
    "packed text": chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"x" * LONG)),
    "packed text in any language": chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(b"x" * LONG)),
    "text": chunk(b"tEXt", b"parameters\0" + b"x" * LONG),
    "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b" " * LONG),
    "packed XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b" " * LONG)),
    "camera notes as text": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\n" * LONG)),
    "damaged profile": chunk(b"iCCP", b"p\0\0" + b"no zlib"),
    "damaged text": chunk(b"zTXt", b"a\0\0" + b"no zlib"),
    "note with a wrong checksum": chunk(b"tEXt", b"a\0b")[:-1] + b"?",
    "empty notes": chunk(b"tEXt", b"") + chunk(b"zTXt", b"") + chunk(b"iTXt", b"") + chunk(b"iCCP", b""),
}


@pytest.mark.parametrize("name", NOTES)
@pytest.mark.parametrize("place", ["before", "behind"])
def test_notes_cost_no_picture(name: str, place: str, tmp_path: Path) -> None:
    data = png(NOTES[name]) if place == "before" else png(behind=NOTES[name])
    file = tmp_path / "a.png"
    file.write_bytes(data)
    for source in (data, file):
        image = open_image(source)
        assert (image.size, image.getcolors()) == ((3, 2), [(6, RED)])
    check_image(file)
    assert format_of(data) == "PNG"


def test_seventy_million_letters_of_notes_cost_no_picture() -> None:
    data = png(*[NOTES["packed text"]] * 40, NOTES["XMP"])
    assert open_image(data).getcolors() == [(6, RED)]


@pytest.mark.parametrize("packed", [False, True])
def test_what_turns_a_picture_is_still_read(packed: bool) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", "x" * LONG, zip=True)
    info.add_itxt("XML:com.adobe.xmp", xmp(6), zip=packed)
    stream = io.BytesIO()
    Image.new("RGB", (4, 2), RED).save(stream, "PNG", pnginfo=info)
    assert open_image(stream.getvalue()).size == (2, 4)
    exif = Image.Exif()
    exif[ORIENTATION] = 8
    turned = io.BytesIO()
    Image.new("RGB", (4, 2), RED).save(turned, "PNG", pnginfo=info, exif=exif)
    assert open_image(turned.getvalue()).size == (2, 4)


def test_a_stream_without_gaps_is_read_and_sought_as_any_other() -> None:
    data = bytes(range(200))
    gaps = ((3, 10), (10, 12), (100, 150), (190, 500))
    left = bytes(number for number in data if not any(start <= number < end for start, end in gaps))
    stream = _png.without(io.BytesIO(data), gaps)
    assert stream.read() == left
    random = np.random.default_rng(0)
    for _ in range(200):
        at, size = (int(number) for number in random.integers(0, 220, 2))
        stream.seek(at)
        assert stream.read(size) == left[at : at + size]
    assert stream.seek(-5, io.SEEK_END) == len(left) - 5
    assert stream.read(50) == left[-5:]


def test_a_file_of_countless_pieces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_png, "MOST_CHUNKS", 1000)
    with pytest.raises(ImageError, match="more than 1000 pieces"):
        open_image(png(chunk(b"prIv", b"") * 1000))
    assert open_image(png(chunk(b"prIv", b"") * 900)).size == (3, 2)
