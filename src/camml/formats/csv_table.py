"""CSV and TSV with a header: the columns `id`, `text` and, where there are images, `image`; other columns are kept."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from camml.errors import SampleError
from camml.formats import _entries, _text

PIPED = True
"""Can be read from a pipe."""
LONGEST_CELL = 2**26
"""Characters; a quote that is never closed makes a cell of the rest of the file."""

_RETURN = re.compile(r"(?<=\r)(?!\n)")
_NEEDED = ("id", "text")


def matches(path: Path) -> bool:
    """Return True for a file named .csv or .tsv."""
    return path.suffix.lower() in (".csv", ".tsv") and path.is_file()


def read(path: Path, images: Path | None) -> Iterator[_entries.Entry]:
    """Yield each row as a sample; its place is the line on which it begins."""
    folder = _entries.folder_of_images(path, images)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    # Python has one limit for all readers, 131,072 characters; it is only ever raised, so that threads do not disturb
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    reader = csv.reader(_lines(path), delimiter=delimiter, strict=True)
    begin = 1
    try:
        header = _check_header([name.strip() for name in next(reader, [])], path)
        begin = reader.line_num + 1
        for row in reader:
            place = f"line {begin}"
            if len(row) == len(header):
                yield _entries.find(dict(zip(header, row, strict=True)), place, path, folder, _entries.plain_text)
            elif row:
                yield (
                    place,
                    SampleError(
                        f"{path}: {place}: has {len(row)} columns, the header {len(header)}; "
                        "put values that hold the separator, a quote or a line break between double quotes"
                    ),
                )
            begin = reader.line_num + 1
    except csv.Error as error:
        raise SampleError(f"{path}: line {begin}: not a row of a table ({error}); check its quotes") from error


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file; where the first one ends as on old Macs, with a carriage return, all do."""
    old = None
    for line in _text.lines(path):
        if isinstance(line, SampleError):
            raise line
        old = bool(_RETURN.search(line)) if old is None else old
        yield from _RETURN.split(line) if old else (line,)


def _check_header(header: list[str], path: Path) -> list[str]:
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise SampleError(
            f"{path}: line 1: no column {' nor '.join(map(repr, missing))}; "
            f"the header is {', '.join(map(repr, header[:8])) or 'empty'}, it needs id, text and mostly image"
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise SampleError(f"{path}: line 1: the column {twice[0]!r} is there twice; rename one")
    return header
