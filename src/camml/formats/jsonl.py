"""JSON lines: one object a line, with `id`, `image`? and `text` or `conversations`; other keys are kept."""

import json
from collections.abc import Iterator
from pathlib import Path

from camml.errors import SampleError
from camml.formats import _entries, _text

PIPED = True
"""Can be read from a pipe."""


def matches(path: Path) -> bool:
    """Return True for a file named .jsonl or .ndjson."""
    return path.suffix.lower() in (".jsonl", ".ndjson") and path.is_file()


def read(path: Path, images: Path | None) -> Iterator[_entries.Entry]:
    """Yield each line as a sample; blank lines are passed over."""
    folder = _entries.folder_of_images(path, images)
    for number, line in enumerate(_text.lines(path), 1):
        place = f"line {number}"
        if isinstance(line, SampleError):
            yield place, line
        elif line.strip():
            yield _parse(line, place, path, folder)


def _parse(line: str, place: str, path: Path, folder: Path) -> _entries.Entry:
    try:
        entry = json.loads(line, parse_constant=lambda _: None)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at column {error.colno}"
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as error:  # an integer of more digits than Python reads
        reason = str(error)
    else:
        return _entries.find(entry, place, path, folder, _entries.any_text)
    return place, SampleError(f"{path}: {place}: not JSON ({reason}); write one object a line")
