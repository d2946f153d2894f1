"""LLaVA JSON: a list of `{"id", "image"?, "conversations": [{"from": "human"|"gpt", "value"}, ...]}`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from camml.formats import _entries, _json_list
from camml.formats._texts import Text

PIPED = True
"""Can be read from a pipe."""


def matches(path: Path) -> bool:
    """Return True for a JSON list whose first entry has conversations."""
    if not _json_list.looks_like_json(path):
        return False
    first = _json_list.first(path)
    return isinstance(first, dict) and "conversations" in first


def read(path: Path, images: Path | None) -> Iterator[_entries.Entry]:
    """Yield each entry as a sample whose text is all its turns, after its own text."""
    folder = _entries.folder_of_images(path, images)
    for number, entry in enumerate(_json_list.elements(path), 1):
        yield _entries.find(entry, f"entry {number}", path, folder, _text)


def _text(entry: Mapping[str, Any]) -> Text:
    """Return the text of all turns, after the entry's own if it has one, too."""
    return _entries.any_text(entry) if "conversations" in entry else _entries.text_of_turns(entry)
