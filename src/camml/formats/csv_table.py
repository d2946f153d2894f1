"""CSV and TSV with a header: the columns `id`, `text` and, where there are images, `image`; other columns are kept.

Values are separated by commas or tabs, or by semicolons, as Excel does where commas are decimal points.
"""

import csv
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from camml.errors import SampleError
from camml.formats import _entries, _names, _text

PIPED = True
"""Can be read from a pipe."""
LONGEST_CELL = 2**26
"""Characters; a quote that is never closed makes a cell of the rest of the file."""

_RETURN = re.compile(r"(?<=\r)(?!\n)")
_DELIMITER = re.compile(r'"?sep=(.)"?\s*')
"""The first line by which Excel is told what separates values."""
_DELIMITERS = ",;\t"


def matches(path: Path) -> bool:
    """Return True for a file named .csv or .tsv, also if .gz follows, or .txt if it has our header."""
    ending = _text.ending(path)
    if ending != ".txt" or not path.is_file():
        return ending in (".csv", ".tsv") and path.is_file()
    try:
        begin = _lines(path)
        line = next(begin, "")
        line = next(begin, "") if _DELIMITER.fullmatch(line) else line
        return any(_is_header(_cells(line, delimiter)) for delimiter in _DELIMITERS)
    except SampleError:
        return False


def read(path: Path, images: Path | None) -> Iterator[_entries.Entry]:
    """Yield each row as a sample; its place is the line on which it begins."""
    folder = _entries.folder_of_images(path, images)
    table = Table(path)
    if missing := _missing(table.names):
        raise SampleError(
            f"{path}: {table.place}: no column {' nor '.join(map(repr, missing))}; "
            f"the header is {', '.join(map(repr, table.names[:8])) or 'empty'}, it needs id, text and mostly image"
        )
    for place, row in table:
        if isinstance(row, SampleError):
            yield place, row
        else:
            yield _entries.find(row, place, path, folder, _entries.plain_text)


class Table:
    """The rows of a table that are not empty, with their places, an error in place of a bad one.

    Values of a column without a name are those of one called by its number, such as `column_1`, or `column_1_` where
    there is such a column.

    Attributes:
      names: the header, without columns at its end that have no name.
      place: of the header.

    Raises:
      SampleError: the file cannot be read, a quote is wrong, or a column is there twice.
    """

    def __init__(self, path: Path) -> None:
        # Python has one limit for all readers, 131,072 characters; it is only ever raised, so that threads do not
        # disturb each other
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
        lines = _lines(path)
        first, self._skipped = next(lines, ""), 0
        if told := _DELIMITER.fullmatch(first):
            first, self._skipped = next(lines, ""), 1
        delimiter = told[1] if told else _delimiter(first, "\t" if _text.ending(path) == ".tsv" else ",")
        self._path, self.place = path, f"line {1 + self._skipped}"
        self._reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
        try:
            self.names = _names_of(next(self._reader, []), f"{path}: {self.place}")
        except csv.Error as error:
            raise self._bad(self.place, error) from error

    def __iter__(self) -> Iterator[tuple[str, dict[str, str] | SampleError]]:
        place = self._next()
        try:
            for row in self._reader:
                if any(cell.strip() for cell in row):
                    yield place, _row(self.names, row, f"{self._path}: {place}")
                place = self._next()
        except csv.Error as error:
            raise self._bad(place, error) from error

    def _next(self) -> str:
        return f"line {self._reader.line_num + 1 + self._skipped}"

    def _bad(self, place: str, error: csv.Error) -> SampleError:
        return SampleError(f"{self._path}: {place}: not a row of a table ({error}); check its quotes")


def _row(header: list[str], row: list[str], place: str) -> dict[str, str] | SampleError:
    """Return the values of a row by their names, or what is wrong with it."""
    if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :]):
        return SampleError(
            f"{place}: has {len(row)} columns, the header {len(header)}; "
            "put values that hold the separator, a quote or a line break between double quotes"
        )
    named = enumerate(zip(header, row, strict=False), 1)
    return {name or _stand_in(number, header): cell for number, (name, cell) in named}


def _stand_in(number: int, header: list[str]) -> str:
    """Return a name for a column that has none."""
    name = f"column_{number}"
    while name in header:
        name += "_"
    return name


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file; where the first one ends as on old Macs, with a carriage return, all do."""
    old = None
    for line in _text.lines(path):
        if isinstance(line, SampleError):
            raise line
        old = bool(_RETURN.search(line)) if old is None else old
        yield from _RETURN.split(line) if old else (line,)


def _delimiter(line: str, usual: str) -> str:
    """Return what separates values, by the first line: the usual sign, or that by which it is a header of ours."""
    choices = dict.fromkeys((usual, *_DELIMITERS))
    return next((sign for sign in choices if _is_header(_cells(line, sign))), _most(line, usual))


def _most(line: str, usual: str) -> str:
    return usual if usual in line else max(_DELIMITERS, key=line.count, default=usual)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _is_header(names: list[str]) -> bool:
    return not _missing(names)


def _missing(names: list[str]) -> list[str]:
    """Return which columns are missing of those that are needed."""
    own = [name for name in _names.OWN if _names.column(names, name) is not None]
    has_id = "id" in own or any(name in names for name in (_names.FILE_NAME, _names.QUESTION_ID))
    alone = len(set(names) - {""}) == 2 and _names.has_images(names)
    has_text = "text" in own or (has_id and alone)
    return [name for name, is_there in (("id", has_id), ("text", has_text)) if not is_there]


def _names_of(header: list[str], place: str) -> list[str]:
    """Return the names of the columns, without those at the end that have none.

    Raises:
      SampleError: a column is there twice.
    """
    names = [name.strip() for name in header]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise SampleError(f"{place}: the column {twice[0]!r} is there twice; rename one")
    while names and not names[-1]:
        names.pop()
    return names
