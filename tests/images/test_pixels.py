"""Values wider than 8 bits."""

import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from camml.images import _png, open_image

CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def png16(values: NDArray[np.uint16], kind: int, significant: bytes = b"", clear: tuple[int, ...] = ()) -> bytes:
    """A PNG of 16 bits: grey (kind 0), color (2), and these with transparency (4, 6); `clear` is transparent."""
    height, width = values.shape[:2]

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    parts += [chunk(b"sBIT", significant)] if significant else []
    parts += [chunk(b"tRNS", np.asarray(clear, ">u2").tobytes())] if clear else []
    parts += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return _png.SIGNATURE + b"".join(parts)


def ramp(top: int, kind: int = 0) -> NDArray[np.uint16]:
    line = np.linspace(0, top, 16).round().astype(np.uint16)
    values = np.repeat(line[None, :, None], CHANNELS[kind], axis=-1)
    if kind in (4, 6):
        values[..., -1] = 65535 if top > 16383 else top
    return values


EXPECTED = np.linspace(0, 255, 16).round()


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a_ramp_of_any_sensor_goes_from_black_to_white(kind: int, bits: int) -> None:
    shown = np.asarray(open_image(png16(ramp(2**bits - 1, kind), kind)), int)
    assert shown.shape == (1, 16, 3)
    assert np.abs(shown[0] - EXPECTED[:, None]).max() <= 1


@pytest.mark.parametrize("kind", CHANNELS)
def test_a_dark_picture_that_says_its_depth_stays_dark(kind: int) -> None:
    values = ramp(1000, kind)
    if kind in (4, 6):
        values[..., -1] = 4095
    shown = np.asarray(open_image(png16(values, kind, bytes([12] * CHANNELS[kind]))), int)
    assert shown.max() == round(1000 / 4095 * 255)


@pytest.mark.parametrize("kind", [0, 2])
@pytest.mark.parametrize("significant", [b"", bytes([16])])
@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ((0, 40000, 65535), (255, 156, 255)),
        ((1000, 4095, 0), (255, 255, 0)),  # of a sensor of 12 bits
        ((65535, 4095, 0), (255, 255, 0)),  # the range is that of what is seen
        ((1000, 1001, 60000), (255, 4, 233)),
        ((500, 500, 500), (255, 255, 255)),
    ],
)
def test_the_transparent_value_of_sixteen_bits_is_white(
    kind: int, significant: bytes, line: tuple[int, ...], shown: tuple[int, ...]
) -> None:
    values = np.repeat(np.asarray(line, np.uint16)[None, :, None], CHANNELS[kind], axis=-1)
    clear = line[:1] * CHANNELS[kind]
    picture = np.asarray(open_image(png16(values, kind, significant * CHANNELS[kind], clear)), int)
    if significant and max(line[1:]) == 4095:
        shown = (255, 16, 0)  # which is said to be no 12 bits
    assert np.abs(picture[0] - np.asarray(shown)[:, None]).max() <= 1


@pytest.mark.parametrize("kind", [0, 2])
def test_values_that_use_all_sixteen_bits_are_not_brightened_whatever_is_said(kind: int) -> None:
    """As the format has it, 12 significant bits are the upper ones of 16."""
    shown = np.asarray(open_image(png16(ramp(4095, kind) * 16, kind, bytes([12] * CHANNELS[kind]))), int)
    assert np.abs(shown[0] - EXPECTED[:, None]).max() <= 1


@pytest.mark.parametrize("kind", [0, 2])
def test_a_dark_picture_of_eight_bits_that_was_widened_stays_dark(kind: int) -> None:
    shown = np.asarray(open_image(png16(ramp(20, kind) * 257, kind)), int)
    assert shown.max() == 20


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_tiff_too(order: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(ramp(4095)[..., 0].astype(order)).save(stream, "TIFF")
    assert np.abs(np.asarray(open_image(stream.getvalue()), int)[0, :, 0] - EXPECTED).max() <= 1


def bmp(alphas: tuple[int, ...]) -> bytes:
    """A BMP of version 4 with a mask for transparency, of one line of pixels."""
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, len(alphas), 1, 1, 32, 3, 4 * len(alphas), 2835, 2835, 0, 0) + masks
    header += bytes(108 - len(header))
    pixels = b"".join(bytes((30, 60, 200, alpha)) for alpha in alphas)
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + pixels


def test_a_bmp_whose_transparency_was_never_written_is_no_white_one() -> None:
    assert np.asarray(open_image(bmp((0, 0)))).tolist() == [[[200, 60, 30]] * 2]
    assert np.asarray(open_image(bmp((0, 255)))).tolist() == [[[255, 255, 255], [200, 60, 30]]]


def test_a_dark_pgm_keeps_its_range() -> None:
    data = b"P5 2 1 65535\n" + struct.pack(">HH", 0, 4095)
    assert np.asarray(open_image(data)).max() == 16
    assert np.asarray(open_image(b"P5 2 1 4095\n" + struct.pack(">HH", 0, 4095))).max() == 255
