"""The files `metadata.csv`, `.jsonl` and `.parquet` that tell of pictures in a folder, as in HF's imagefolder.

Source: https://huggingface.co/docs/datasets/image_load
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camml.errors import SampleError, first_line
from camml.formats import _columns, _names, _pictures, _text, csv_table, jsonl
from camml.formats._faults import BadEntry, check_keys
from camml.layouts import spellings

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_BEGINNING = 2**16
"""Bytes of a file that cannot be read which are searched for the name of its column."""
_BETWEEN = re.compile(r'[,;\t"\r\n]')
"""Signs between the values of a line that cannot be parsed."""

_logger = logging.getLogger("camml")
_Rows = Iterator[tuple[str, Any]]


@dataclass(slots=True)
class _Told:
    """The metadata files of one folder, read.

    Attributes:
      rows: what they say of each picture, by its name there.
      bad: the faults of rows that cannot be used, by what may be the names of their pictures.
      broken: one of which a part cannot be read.
      files: those that were read.
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    bad: dict[str, SampleError] = field(default_factory=dict)
    broken: Path | None = None
    files: list[Path] = field(default_factory=list)


class Metadata:
    """The metadata files of a folder and those below it, each read when a picture asks for it.

    Attributes:
      read: the paths of those that were, as seen from the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, _Told] = {}
        self._asked: dict[str, set[str]] = {}
        self._faults: list[tuple[str, SampleError]] = []
        self.read: set[str] = set()

    def of(self, name: str) -> dict[str, Any] | SampleError:
        """Return what the nearest metadata file says of a picture that it names; nothing where none does.

        It is an error where its row cannot be used, or may stand in a part that cannot be read.

        Args:
          name: the path of the picture as seen from the folder.
        """
        parts = name.split("/")
        for depth in range(len(parts) - 1, -1, -1):
            folder = "/".join(parts[:depth])
            told = self._in(folder)
            for spelling in spellings("/".join(parts[depth:])) if told.files else ():
                if spelling in told.rows:
                    self._asked.setdefault(folder, set()).add(spelling)
                    return told.rows[spelling]
                if spelling in told.bad:
                    return told.bad[spelling]
            if told.broken:
                said = f"may be named in the part of {told.broken} that cannot be read; mend that file"
                return SampleError(f"{self._root / name}: {said}")
        return {}

    def faults(self) -> Iterator[tuple[str, SampleError]]:
        """Yield each file of which a part cannot be read, once, with the reason."""
        while self._faults:
            yield self._faults.pop(0)

    def say_what_is_left(self) -> None:
        """Log the rows that name no picture which is there."""
        for folder, told in self._folders.items():
            if left := [name for name in told.rows if name not in self._asked.get(folder, ())]:
                said = "rows name pictures that are not there, such as"
                _logger.warning("%s: %d %s %r", told.files[0], len(left), said, left[0])

    def _in(self, folder: str) -> _Told:
        if folder not in self._folders:
            told = self._folders[folder] = _Told()
            for file in _files(self._root / folder):
                self._take(file, f"{folder}/{file.name}" if folder else file.name, told)
        return self._folders[folder]

    def _take(self, file: Path, name: str, told: _Told) -> None:
        """Read a file, if it is one of metadata."""
        try:
            if _column_of_names(file) is None:
                return
            broken = _take_rows(file, told)
        except SampleError as error:
            if not _may_name_files(file):
                _logger.warning("passed over %s", error)
                return
            broken = error
        self.read.add(name)
        told.files.append(file)
        if broken:
            told.broken = told.broken or file
            then = "from there on it cannot be read, and pictures that may be named there are left out"
            self._faults.append((name, SampleError(f"{broken}; {then}")))


def names_files(file: Path) -> bool:
    """Return whether a file is one of metadata, which names pictures under `file_name`, as far as it can be read."""
    if file.name not in NAMES:
        return False
    try:
        return _column_of_names(file) is not None
    except SampleError:
        return _may_name_files(file)


def _column_of_names(file: Path) -> str | None:
    """Return what a file calls the column `file_name`, None where it has none.

    Raises:
      SampleError: its columns cannot be read.
    """
    if file.suffix == ".csv":
        return _names.column(csv_table.Table(file).names, _names.FILE_NAME)
    fault: SampleError | None = None
    for _, row in _parquet_rows(file) if file.suffix == ".parquet" else _lines(file):
        if isinstance(row, dict):
            return _names.column(row, _names.FILE_NAME)
        fault = fault or (row if isinstance(row, SampleError) else None)
    if fault:
        raise fault
    return None


def _may_name_files(file: Path) -> bool:
    """Return whether a file whose columns cannot be read may be one of metadata all the same."""
    try:
        with file.open("rb") as stream:
            return file.suffix == ".parquet" or _names.FILE_NAME.encode() in stream.read(_BEGINNING).lower()
    except OSError:
        return True


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in NAMES if (folder / name).is_file()]


def _take_rows(file: Path, told: _Told) -> SampleError | None:
    """Take what a file says of each picture, by the name that it has there, and return what makes its rest unreadable.

    Rows that cannot be used are logged.
    """
    rows: dict[str, dict[str, Any]] = {}
    faults: dict[str, SampleError] = {}
    broken = None
    try:
        for place, row in _rows_in(file):
            try:
                name, fields = _told(row, f"{file}: {place}")
                if name in rows:
                    raise SampleError(f"{file}: {place}: {name!r} is there already; leave one out")
                rows[name] = fields
            except SampleError as error:
                faults[place] = error
                if (its := _name_in(row)) is not None:
                    told.bad[its] = error
    except SampleError as error:
        broken = error
    if faults:
        _logger.warning("%s: %d of its rows are left out, such as: %s", file, len(faults), next(iter(faults.values())))
        told.bad |= _named_in(file, faults)
    told.rows |= rows
    return broken


def _named_in(file: Path, faults: Mapping[str, SampleError]) -> dict[str, SampleError]:
    """Return the faults of lines, which cannot be parsed, by all that may be the name of a picture in them."""
    bad: dict[str, SampleError] = {}
    if file.suffix == ".parquet":
        return bad
    with _text.open_text(file) as stream:
        for number, line in enumerate(stream, 1):
            if (fault := faults.get(f"line {number}")) is not None:
                for encoding in ("utf-8", "cp1252"):
                    cells = _BETWEEN.split(line.decode(encoding, "replace"))
                    bad |= {_as_name(cell.strip()): fault for cell in cells if _names.names_picture(cell.strip())}
    return bad


def _rows_in(file: Path) -> _Rows:
    if file.suffix == ".csv":
        yield from csv_table.Table(file)
    else:
        yield from _parquet_rows(file) if file.suffix == ".parquet" else _lines(file)


def _told(row: object, where: str) -> tuple[str, dict[str, Any]]:
    """Return the name of the picture that a row tells of, and what it tells.

    Raises:
      SampleError: it cannot be used.
    """
    if isinstance(row, SampleError):
        raise row
    name = _name_in(row)
    if not isinstance(row, dict) or name is None:
        raise SampleError(f"{where}: has no {_names.FILE_NAME}; name the picture that it belongs to")
    try:
        check_keys(row)
    except BadEntry as error:
        raise SampleError(f"{where}: {error}") from error
    column = _names.column(row, _names.FILE_NAME)
    return name, _pictures.with_text({key: value for key, value in row.items() if key != column}, where)


def _name_in(row: object) -> str | None:
    """Return the name of the picture that a row tells of."""
    column = _names.column(row, _names.FILE_NAME) if isinstance(row, dict) else None
    name = row[column] if isinstance(row, dict) and column else None
    return _as_name(name) if isinstance(name, str) and name else None


def _as_name(path: str) -> str:
    return path.replace("\\", "/").removeprefix("./")


def _lines(file: Path) -> _Rows:
    for number, line in enumerate(_text.lines(file), 1):
        place = f"line {number}"
        if isinstance(line, SampleError):
            yield place, line
        elif line.strip():
            try:
                yield place, jsonl.parse(line, place, file)
            except SampleError as error:
                yield place, error


def _parquet_rows(file: Path) -> _Rows:
    """Yield the rows of a table as values of JSON; bytes among them are None."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            rows = (row for batch in table.iter_batches() for row in _columns.rows(batch))
            for number, row in enumerate(rows, 1):
                yield f"row {number}", json.loads(json.dumps(row, default=_in_json))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = first_line(error)
        raise SampleError(f"{file}: cannot be read as Parquet ({reason}); copy or write it again") from error


def _in_json(value: object) -> str | None:
    return None if isinstance(value, bytes) else str(value)
