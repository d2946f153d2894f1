"""From a row of Arrow, which may hold the image file itself, to a sample."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.formats import _entries, _names
from camml.formats._images import from_address, write_image
from camml.formats._texts import TextOf, any_text
from camml.images.data_urls import is_data_url

AT_ONCE = 64
"""Rows taken out of Arrow at once; they hold whole images."""
_TEXTS = ("id", "text", "conversations")
"""Columns of texts, which some programs write as bytes."""


def find(
    row: dict[str, Any], place: str, source: Path | str, images: Path, written: Path, text_of: TextOf = any_text
) -> _entries.Entry:
    """Return the sample in a row, or the error that names file, place and id.

    Args:
      row: with `id`, `text` or `conversations`, and mostly `image`: a path, bytes, or a struct of `bytes` and `path`.
      images: the folder at which image paths start.
      written: the folder that the images in rows are written to.
      text_of: see `_entries.find`.

    Raises:
      DiskError: an image cannot be written.
    """
    try:
        entry = as_entry(row, written, images)
    except _entries.BadEntry as error:
        return place, SampleError(f"{source}: {place}: {error}")
    return _entries.find(entry, place, source, images, text_of)


def as_entry(row: dict[str, Any], written: Path, images: Path) -> dict[str, Any]:
    """Return a row as an entry of a JSON file, its image a path, its texts texts even where the table has their bytes.

    Args:
      written: the folder that images are written to.
      images: the folder at which image paths start.

    Raises:
      BadEntry: its image is neither a path nor bytes, or several, or a text is not UTF-8.
      DiskError: the image cannot be written.
    """
    row = dict(_names.usual(row, images))
    image = row.get("image")
    if isinstance(image, bytes):
        image = {"bytes": image}
    if isinstance(image, Mapping):
        image = _image(image, written)
    elif isinstance(image, str) and is_data_url(image):
        image = str(from_address(image, written))
    texts = {name: _text(name, row[name]) for name in _TEXTS if isinstance(row.get(name), bytes)}
    return _plain({**row, **texts, "image": image})  # type: ignore[no-any-return]


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _entries.BadEntry(f"its {name} is bytes that are not UTF-8; write the column as text") from error


def _image(value: Mapping[str, Any], folder: Path) -> object:
    data, path = value.get("bytes"), value.get("path")
    if data is None:
        return path
    if not isinstance(data, bytes):
        raise _entries.BadEntry(f"the bytes of its image are {_entries.kind(data)}")
    return str(write_image(data, Path(path).suffix if isinstance(path, str) else "", folder))


def _plain(value: Any) -> Any:
    """Convert a value of Arrow to a value of JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items() if not isinstance(inner, bytes)}
    if isinstance(value, list):
        return [_plain(inner) for inner in value if not isinstance(inner, bytes)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
