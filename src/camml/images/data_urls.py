"""Pictures inside addresses, as requests carry them."""

import base64
import io
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from PIL import Image

from camml.errors import ImageError
from camml.images import open_image

SHOWN = 60
"""Characters of an address that errors show."""

_BLANKS = re.compile(r"\s+", re.ASCII)
_KIND = re.compile(r"(image/[\w.+*-]+|(application|binary)/octet-stream)?", re.ASCII | re.IGNORECASE)
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


def is_data_url(source: Any) -> bool:
    """Return whether a source of a picture is a data URL, and not a file or another address."""
    return isinstance(source, str) and source.lstrip()[:5].lower() == "data:"


def bytes_in(url: str) -> bytes:
    """Return the bytes in a data URL: base64 in any of its spellings, or percent-encoded.

    Raises:
      ImageError: it is not of that form, or says that it holds something else than a picture.
    """
    head, comma, data = url.strip().partition(",")
    kind, *parameters = (part.strip() for part in head[5:].split(";"))
    if not comma or not _KIND.fullmatch(kind):
        raise ImageError(f"{shortened(url)!r} is not of the form data:image/TYPE;base64,DATA")
    plain = unquote_to_bytes(data.encode(errors="replace")) if "%" in data else data.encode(errors="replace")
    if "base64" not in map(str.lower, parameters[-1:]):
        return plain
    try:
        return decoded(plain.decode("latin-1"))
    except ValueError as error:
        raise ImageError(f"the data URL of the picture is not base64: {error}") from None


def shortened(url: str) -> str:
    """Return as much of an address as a message may show."""
    return url if len(url) <= SHOWN else f"{url[: SHOWN - 1]}…"


def opened(source: Any, max_side: int | None = None) -> Image.Image:
    """Return the picture in a file, at an address, in a data URL, in bytes, or in an open file.

    Args:
      source: an `ImageSource`, a data URL, or a file that was opened for its bytes.
      max_side: see `open_image`.

    Raises:
      ImageError: there is none, or the source is of another type.
    """
    given: Any = bytes_in(source) if is_data_url(source) else source
    if callable(getattr(given, "read", None)):
        given = given.read()
        given = given if isinstance(given, bytes) else source
    if not isinstance(given, str | bytes | Path | Image.Image):
        remedy = "give a path, an address, bytes, an open file or a PIL image"
        raise ImageError(f"the image is of type {type(given).__name__}, not a picture; {remedy}")
    return open_image(given, max_side=max_side)


def data_url(picture: Path | Image.Image) -> str:
    """Return a picture as a PNG inside a URL.

    Raises:
      ImageError: it cannot be read.
    """
    buffer = io.BytesIO()
    open_image(picture).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
