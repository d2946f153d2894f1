"""From a row of Arrow, which may hold the image file itself, to a sample."""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camml import durable
from camml.errors import DiskError, SampleError
from camml.formats import _entries

AT_ONCE = 64
"""Rows taken out of Arrow at once; they hold whole images."""
_TEXTS = ("id", "text", "conversations")
"""Columns of texts, which some programs write as bytes."""
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp"}


def find(
    row: dict[str, Any], place: str, source: Path | str, images: Path, written: Path, *, alone: bool = False
) -> _entries.Entry:
    """Return the sample in a row, or the error that names file, place and id.

    Args:
      row: with `id`, `text` or `conversations`, and mostly `image`: a path, bytes, or a struct of `bytes` and `path`.
      images: the folder at which image paths start.
      written: the folder that the images in rows are written to.
      alone: a row may be a picture alone, without a text.

    Raises:
      DiskError: an image cannot be written.
    """
    try:
        entry = as_entry(row, written)
    except _entries.BadEntry as error:
        return place, SampleError(f"{source}: {place}: {error}")
    return _entries.find(entry, place, source, images, _entries.any_text, alone=alone)


def as_entry(row: dict[str, Any], written: Path) -> dict[str, Any]:
    """Return a row as an entry of a JSON file, its image a path, its texts texts even where the table has their bytes.

    Raises:
      BadEntry: its image is neither a path nor bytes, or a text is not UTF-8.
      DiskError: the image cannot be written.
    """
    image = row.get("image")
    if isinstance(image, bytes):
        image = {"bytes": image}
    if isinstance(image, Mapping):
        image = _image(image, written)
    texts = {name: _text(name, row[name]) for name in _TEXTS if isinstance(row.get(name), bytes)}
    return _plain({**row, **texts, "image": image})  # type: ignore[no-any-return]


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _entries.BadEntry(f"its {name} is bytes that are not UTF-8; write the column as text") from error


def write_image(data: bytes, suffix: str, folder: Path) -> Path:
    """Return the path of an image file in `folder`, named after its content; write it unless it exists.

    Raises:
      DiskError: it cannot be written.
    """
    if not suffix[1:].isalnum():
        suffix = next((suffix for start, suffix in _SUFFIXES.items() if data.startswith(start)), "")
    file = folder.absolute() / f"{hashlib.sha256(data).hexdigest()[:32]}{suffix}"
    if not file.is_file() or file.stat().st_size != len(data):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(f"cannot write {folder}: {error.strerror}; name another folder of images") from error
        durable.write_file(file, data)
    return file


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
