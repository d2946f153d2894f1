"""Datastore JSON: a list of `{"id", "image", "text"}`, the text a string or a list of strings.

An entry may have `conversations` instead of a text or after it; other keys are kept.
"""

from collections.abc import Iterator
from pathlib import Path

from camml.formats import _entries, _json_list, llava_json

PIPED = True
"""Can be read from a pipe."""


def matches(path: Path) -> bool:
    """Return True for a JSON file that is not LLaVA JSON."""
    return _json_list.looks_like_json(path) and not llava_json.matches(path)


def read(path: Path, images: Path | None) -> Iterator[_entries.Entry]:
    """Yield each entry as a sample."""
    folder = _entries.folder_of_images(path, images)
    for number, entry in enumerate(_json_list.elements(path), 1):
        yield _entries.find(entry, f"entry {number}", path, folder, _entries.any_text)
