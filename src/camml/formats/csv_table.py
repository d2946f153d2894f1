"""CSV and TSV with a header: the columns `id`, `text` and, where there are images, `image`; other columns are kept.

Values are separated by commas or tabs, or by semicolons, as Excel does where commas are decimal points. Where names in
the header follow a blank, blanks around values do not count. Empty values at the end of a row may be left out.
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
        line, _ = _first(begin)
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
      SampleError: the file or its header cannot be read, a quote is wrong, or a column is there twice.
    """

    def __init__(self, path: Path) -> None:
        # Python has one limit for all readers, 131,072 characters; it is only ever raised, so that threads do not
        # disturb each other
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
        self._faults: list[SampleError] = []
        lines = _lines(path, self._faults)
        first, self._skipped = _first(lines)
        if told := _DELIMITER.fullmatch(first):
            first, self._skipped = next(lines, ""), self._skipped + 1
        delimiter = told[1] if told else _delimiter(first, "\t" if _text.ending(path) == ".tsv" else ",")
        self._path, self.place = path, f"line {1 + self._skipped}"
        # also before a quote, which would be a character of the value then
        spaced = any(name.startswith(" ") for name in _split(first, delimiter, skipinitialspace=False))
        rest = chain([first], lines)
        self._reader = csv.reader(rest, delimiter=delimiter, strict=True, skipinitialspace=spaced)
        try:
            self.names = _names_of(next(self._reader, []), f"{path}: {self.place}")
        except csv.Error as error:
            raise self._bad(self.place, error) from error
        if self._faults:
            raise self._faults[0]
        self._needed = _needed(self.names)
        self._stripped = [spaced or _names.has_images([name]) for name in self.names]

    def __iter__(self) -> Iterator[tuple[str, dict[str, str] | SampleError]]:
        place = self._next()
        try:
            for row in self._reader:
                if self._faults:  # in the lines of this row
                    yield place, self._faults[0]
                    self._faults.clear()
                elif any(cell.strip() for cell in row):
                    yield place, self._row(row, place)
                place = self._next()
        except csv.Error as error:
            raise self._bad(place, error) from error

    def _row(self, row: list[str], place: str) -> dict[str, str] | SampleError:
        """Return the values of a row by their names, or what is wrong with it."""
        header, lacking = self.names, self.names[len(row) :]
        # the second half of a row with a line break ends with a picture, too
        is_half = lacking and _names.has_images(lacking) and _names.names_picture(row[-1].strip())
        if len(row) < self._needed or is_half or any(cell.strip() for cell in row[len(header) :]):
            return SampleError(
                f"{self._path}: {place}: has {len(row)} columns, the header {len(header)}; "
                "put values that hold the separator, a quote or a line break between double quotes"
            )
        cells = zip(header, self._stripped, chain(row, [""] * len(lacking)), strict=False)
        return {
            name or _stand_in(number, header): cell.strip() if stripped else cell
            for number, (name, stripped, cell) in enumerate(cells, 1)
        }

    def _next(self) -> str:
        return f"line {self._reader.line_num + 1 + self._skipped}"

    def _bad(self, place: str, error: csv.Error) -> SampleError:
        return SampleError(f"{self._path}: {place}: not a row of a table ({error}); check its quotes")


def _stand_in(number: int, header: list[str]) -> str:
    """Return a name for a column that has none."""
    name = f"column_{number}"
    while name in header:
        name += "_"
    return name


def _lines(path: Path, faults: list[SampleError] | None = None) -> Iterator[str]:
    """Yield the lines of a file; where the first one ends as on old Macs, with a carriage return, all do.

    Args:
      faults: the error of a line that is not UTF-8 is added to it, if all of the file is not one line.

    Raises:
      SampleError: there is no such file, or a line is not UTF-8.
    """
    old = False
    with _text.open_text(path) as stream:
        offset = stream.tell()
        for number, data in enumerate(stream, 1):
            try:
                line = data.decode()
            except UnicodeDecodeError as error:
                line = data.decode(errors="replace")
                fault = _text.not_utf8(path, f"line {number}: ", offset + error.start, data[error.start])
                if faults is None or old or number == 1:
                    raise fault from error
                faults.append(fault)
            offset += len(data)
            old = bool(_RETURN.search(line)) if number == 1 else old
            yield from _RETURN.split(line) if old else (line,)


def _first(lines: Iterator[str]) -> tuple[str, int]:
    """Return the first line that is not empty, and how many are before it."""
    return next(((line, number) for number, line in enumerate(lines) if line.strip()), ("", 0))


def _delimiter(line: str, usual: str) -> str:
    """Return what separates values, by the first line: the usual sign, or that by which it is a header of ours."""
    choices = dict.fromkeys((usual, *_DELIMITERS))
    return next((sign for sign in choices if _is_header(_cells(line, sign))), _most(line, usual))


def _most(line: str, usual: str) -> str:
    return usual if usual in line else max(_DELIMITERS, key=line.count, default=usual)


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in _split(line, delimiter, skipinitialspace=True)]


def _split(line: str, delimiter: str, *, skipinitialspace: bool) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=skipinitialspace), [])
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


def _needed(names: list[str]) -> int:
    """Return how many values a row has at least: up to its id and its text; the rest may be left out at its end."""
    text, id = _names.column(names, "text"), _names.column(names, "id")
    own = {text, id} if id else {text, _names.FILE_NAME, _names.QUESTION_ID}
    return max(number for number, name in enumerate(names, 1) if name in own) if text else len(names)


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
