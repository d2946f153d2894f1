"""Pictures inside addresses, as requests carry them."""

import base64
import io
import re
from pathlib import Path

from PIL import Image

from camml.images import open_image

_BLANKS = re.compile(r"\s+", re.ASCII)
_OF_ADDRESSES = str.maketrans("-_", "+/")
"""The alphabet of base64 that is safe in addresses."""


def decoded(text: str) -> bytes:
    """Return the bytes in base64 as programs write it: in lines, in the alphabet of addresses, without its end.

    Raises:
      ValueError: it is no base64.
    """
    text = _BLANKS.sub("", text)
    text += "=" * (-len(text) % 4)
    return base64.b64decode(text.translate(_OF_ADDRESSES), validate=True)


def data_url(picture: Path | Image.Image) -> str:
    """Return a picture as a PNG inside a URL.

    Raises:
      ImageError: it cannot be read.
    """
    buffer = io.BytesIO()
    open_image(picture).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
