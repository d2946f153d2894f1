"""JPEG files that lack their end, as cameras and interrupted copies leave them, and those of endless scans."""

import io
import re
from typing import BinaryIO

from PIL import Image, ImageChops

END = b"\xff\xd9"
LARGEST = 256 * 2**20
"""Bytes of a file that is tried."""

MOST_SCANS = 64
"""Passes over the pixels of a progressive file, each of which takes its time; cameras and programs write about ten."""

_MARK = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
"""A marker other than those within the data of a scan."""

_FILL = bytes((37 * number + 90) % 251 for number in range(64))
"""Anything but an end or another mark (0xFF)."""


def with_end(data: bytes) -> bytes | None:
    """Return a JPEG file with the end that it lacks, None where more is missing than that.

    Where pixels are missing too, the decoder makes them up from whatever comes next; so the file lacks only its end if
    it makes no difference what comes next.
    """
    if len(data) > LARGEST or data.endswith(END):
        return None
    start = data.rstrip(END[:1])
    whole = start + END
    try:
        plain, filled = (_decode(file) for file in (whole, start + _FILL + END))
    except Exception:  # a decoder that meets damage raises whatever it stumbles over
        return None
    same = plain.size == filled.size and plain.mode == filled.mode
    return whole if same and ImageChops.difference(plain, filled).getbbox(alpha_only=False) is None else None


def _decode(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        image.load()
        return image


def scans(stream: BinaryIO) -> int:
    """Return how many scans a JPEG file has, up to one more than MOST_SCANS; the stream stays where it is."""
    before = stream.tell()
    stream.seek(0)
    data = stream.read(LARGEST)
    stream.seek(before)
    at, count = 2, 0
    while count <= MOST_SCANS and (mark := _MARK.search(data, at)):
        at, kind = mark.end(), mark[1][0]
        if kind == 0xD9:  # the end; what may follow is another picture
            break
        if kind not in (0x01, 0xD8):  # these two have no length behind them
            count += kind == 0xDA
            at += int.from_bytes(data[at : at + 2], "big")
    return count
