"""JSON lines: one object a line, with `id`, `image`? and `text`, `conversations` or both; other keys are kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.formats import _entries, _json_list, _text
from camml.formats._faults import marked_if_repeated

PIPED = True
"""Can be read from a pipe."""


def matches(path: Path) -> bool:
    """Return True for a file named .jsonl or .ndjson, also if .gz follows."""
    return _text.ending(path) in (".jsonl", ".ndjson") and path.is_file()


def read(path: Path, images: Path | None) -> Iterator[_entries.Entry]:
    """Yield each line as a sample; blank lines are passed over."""
    folder = _entries.folder_of_images(path, images)
    for number, line in enumerate(_text.lines(path), 1):
        place = f"line {number}"
        if isinstance(line, SampleError):
            yield place, line
        elif line.strip():
            try:
                entry = parse(line, place, path)
            except SampleError as error:
                yield place, error
            else:
                yield _entries.find(entry, place, path, folder, _entries.any_text)


def entries(path: Path) -> Iterator[tuple[int, str, Any]]:
    """Yield each object of a JSON list or of JSON lines, or what is wrong with its line, as a `SampleError`.

    Yields:
      the number, what it counts ("entry" or "line"), and the object.

    Raises:
      SampleError: the file is not a list in JSON.
    """
    if not matches(path):
        for number, entry in enumerate(_json_list.elements(path), 1):
            yield number, "entry", entry
        return
    for number, line in enumerate(_text.lines(path), 1):
        if isinstance(line, SampleError):
            yield number, "line", line
        elif line.strip():
            try:
                entry = parse(line, f"line {number}", path)
            except SampleError as error:
                entry = error
            yield number, "line", entry


def parse(line: str, place: str, path: Path) -> Any:
    """Return the value in a line.

    Raises:
      SampleError: it is not JSON.
    """
    try:
        return json.loads(line, parse_constant=lambda _: None, object_pairs_hook=marked_if_repeated)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at column {error.colno}"
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as error:  # an integer of more digits than Python reads
        reason = str(error)
    raise SampleError(f"{path}: {place}: not JSON ({reason}); write one object a line")
