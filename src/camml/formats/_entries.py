"""From one entry of a file to a sample: what every format agrees on."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.formats import _images, _names
from camml.formats._faults import BadEntry as BadEntry
from camml.formats._faults import check_keys, keys_of
from camml.formats._faults import kind as kind
from camml.formats._texts import TextOf, spoken_key
from camml.formats._texts import any_text as any_text
from camml.formats._texts import plain_text as plain_text
from camml.formats._texts import text_of_turns as text_of_turns
from camml.types import Sample, finite, is_nested_too_deeply

Entry = tuple[str, Sample | SampleError]
"""The place of a sample in its file, and the sample or what is wrong with it."""

_STREAMS = ("/dev", "/dev/fd", "/proc/self/fd")
"""Folders of files that stand for what a process has opened."""
_EXACT = 2**53
"""The integers below which a float is exactly the integer that was written."""


@dataclass(frozen=True, slots=True)
class Noted(Sample):
    """A sample of which something is to be said, beside what is in it.

    Attributes:
      named: the picture that its entry names, where another one was taken for it.
      marked: its text had the mark of an image, and it has none.
    """

    named: str = ""
    marked: bool = False

    def plain(self) -> Sample:
        """Return the sample alone."""
        return Sample(self.id, self.text, self.image, self.meta)


def find(entry: object, place: str, path: Path | str, images: Path, text_of: TextOf) -> Entry:
    """Return the sample in an entry, or the error that names file, place and id.

    Args:
      entry: what the file holds at `place`.
      images: the folder at which image paths start.
      text_of: the text of an entry: `text_of_turns`, `any_text`, or `plain_text`, which leaves conversations alone.

    Raises:
      DiskError: a picture in an address cannot be written.
    """
    id = ""
    try:
        if not isinstance(entry, Mapping):
            raise BadEntry(f"is {kind(entry)}, not an object with the keys id, image and text")
        check_keys(entry)
        entry = _names.usual(entry, images)
        id = _id(entry)
        own = {*_names.OWN, None if text_of is plain_text else spoken_key(entry)}
        meta = {key: value for key, value in entry.items() if key not in own}
        if is_nested_too_deeply(meta):
            raise BadEntry("its extra keys are nested too deeply; write them flatter, or leave them out")
        meta = finite(meta)
        text, marked = text_of(entry)
        if not text and not entry.get("image"):
            raise BadEntry("has no text; write one, or leave the sample out")
        _images.check_characters("text", text)
        _images.check_characters("extra keys", _as_json(meta), nul_ok=True)
        image, replaces = _images.place(entry.get("image"), path, images)
        if replaces or (marked and image is None):
            return place, Noted(id, text, image, meta, replaces, image is None)
        return place, Sample(id, text, image, meta)
    except BadEntry as error:
        sample = f" (id {id!r})" if id else ""
        return place, SampleError(f"{path}: {place}{sample}: {error}")


def folder_of_images(path: Path, images: Path | None) -> Path:
    """Return the absolute folder at which image paths start: the one given, or that of the file.

    It is the working directory for what comes out of a pipe, and for the standard input wherever it comes from.
    """
    piped = str(path.parent) in _STREAMS or (path.exists() and not path.is_file() and not path.is_dir())
    return Path(os.path.abspath(images if images is not None else "" if piped else path.parent))


def whole(id: object) -> object:
    """Return an id; 1 for 1.0, as pandas writes integers in a column with gaps."""
    return int(id) if isinstance(id, float) and id.is_integer() and abs(id) < _EXACT else id


def _id(entry: Mapping[str, Any]) -> str:
    if "id" not in entry:
        raise BadEntry(f'has no id; give each sample its own, such as "id": "cat-1" (its keys are {keys_of(entry)})')
    id = whole(entry["id"])
    if isinstance(id, bool) or not isinstance(id, str | int):
        raise BadEntry(f"its id is {kind(id)}; it must be a string or an integer")
    id = str(id)
    if not id.strip():
        raise BadEntry("its id is empty; give each sample its own")
    return id


def _as_json(meta: Mapping[str, Any]) -> str:
    return json.dumps(meta, ensure_ascii=False) if meta else ""
