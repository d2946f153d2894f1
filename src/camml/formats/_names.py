"""The usual names that other programs give to the columns `id`, `text` and `image`."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from camml import layouts
from camml.formats import _walk
from camml.formats._faults import BadEntry
from camml.formats._texts import turns_key

OWN = ("id", "text", "image")
FILE_NAME, QUESTION_ID = "file_name", "question_id"
"""Columns that stand for an id where there is none: of Hugging Face's imagefolder, and of LLaVA's question files."""
IMAGE_NAMES = frozenset({"image", "images", "image_path", "img", FILE_NAME})
"""Columns that are the picture where none is called `image`, if what they hold looks like one.

They may be in other letters, with blanks or hyphens for `_`.
"""

_APART = re.compile(r"[\s_-]+")


def usual(entry: Mapping[str, Any], images: Path) -> Mapping[str, Any]:
    """Return an entry whose id, text and picture stand under the keys `id`, `text` and `image`.

    A list of one picture becomes that picture.

    Args:
      images: the folder at which image paths start.

    Raises:
      BadEntry: it has several pictures.
    """
    renamed = {old: new for new, old in _names(entry, images).items()}
    named = {renamed.get(key, key): value for key, value in entry.items()} if renamed else dict(entry)
    if "id" not in named:
        if QUESTION_ID in named:
            named["id"] = named.pop(QUESTION_ID)
        elif isinstance(entry.get(FILE_NAME), str) and entry[FILE_NAME]:
            named["id"] = _walk.id_of(entry[FILE_NAME])
    image = named.get("image")
    if isinstance(image, list):
        if len(image) > 1:
            raise BadEntry(f"has {len(image)} pictures, and a sample has one: make a sample of each, or leave one")
        named["image"] = image[0] if image else None
    return named


def column(names: Iterable[str], name: str) -> str | None:
    """Return what a column is called: the name, or else the only one that is it in other letters, such as `ID`."""
    names = list(names)
    alike = [name] if name in names else [other for other in names if other.lower() == name]
    return alike[0] if len(alike) == 1 else None


def has_images(names: Iterable[str]) -> bool:
    """Return whether a column may be one of pictures."""
    return any(map(_is_of_images, names))


def names_picture(value: object) -> bool:
    """Return whether a value is the name of a picture file."""
    if not isinstance(value, str) or "\n" in value or "://" in value:
        return False
    return os.path.splitext(value)[1].lower() in _walk.PICTURES


def _is_of_images(name: str) -> bool:
    return _APART.sub("_", name.strip().lower()) in IMAGE_NAMES


def _names(entry: Mapping[str, Any], images: Path) -> dict[str, str]:
    """Return which keys of an entry are its id, text and image under another name."""
    own = {name: key for name in OWN if name not in entry and (key := column(entry, name)) is not None}
    if "text" in own and (not isinstance(entry[own["text"]], str | list) or turns_key(entry)):
        del own["text"]
    if "image" in own and not _is_picture(entry[own["image"]]):
        del own["image"]
    if "image" in entry or "image" in own:
        return own
    pictures = [key for key, value in entry.items() if _is_of_images(key) and _is_here(value)]
    if len(pictures) > 1:  # of a picture and its name elsewhere the one that can be read
        there = [key for key in pictures if _can_be_read(entry[key], images)]
        if len(there) != 1:
            keys = " and ".join(map(repr, pictures))
            raise BadEntry(f"names pictures under {keys}; rename the one that is meant to image")
        pictures = there
    return own | ({"image": pictures[0]} if pictures else {})


def _is_here(value: object) -> bool:
    """Return whether a value looks like a picture on this machine, or a list of such, and not like an address."""
    if isinstance(value, list):
        return bool(value) and all(map(_is_here, value))
    if isinstance(value, Mapping):  # of Hugging Face: bytes and a path
        return "bytes" in value and _is_picture(value)
    return _is_picture(value) and not (isinstance(value, str) and re.match(r"(?!file:)[\w+.-]+://", value.lower()))


def _can_be_read(value: object, images: Path) -> bool:
    """Return whether a picture has its bytes with it, or is a file below `images`."""
    names = [value] if isinstance(value, str) else []
    return not names or any(layouts.find_picture(images, name) is not None for name in names)


def _is_picture(value: object) -> bool:
    """Return whether a value looks like a picture, or a list of pictures: bytes, or the name of a picture file."""
    if isinstance(value, list):
        return any(map(_is_picture, value))
    if isinstance(value, Mapping):
        return isinstance(value.get("bytes"), bytes) or _is_picture(value.get("path"))
    if isinstance(value, str):
        name = value.partition("?")[0].lower()
        return name.startswith("data:image/") or os.path.splitext(name)[1] in _walk.PICTURES
    return isinstance(value, bytes)
