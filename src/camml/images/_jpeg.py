"""JPEG files that lack their end, as cameras and interrupted copies leave them."""

import io

from PIL import Image, ImageChops

END = b"\xff\xd9"
LARGEST = 256 * 2**20
"""Bytes of a file that is tried."""

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
