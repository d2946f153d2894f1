"""The files `metadata.csv` and `metadata.jsonl` that tell of pictures in a folder, as in Hugging Face's imagefolder.

Source: https://huggingface.co/docs/datasets/image_load
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.formats import _names, _pictures, _text, csv_table, jsonl
from camml.formats._faults import BadEntry, check_keys
from camml.layouts import spellings

NAMES = ("metadata.csv", "metadata.jsonl")

_logger = logging.getLogger("camml")
_Rows = Iterator[tuple[str, Any]]


class Metadata:
    """The metadata files of a folder and those below it, each read when a picture asks for it.

    Attributes:
      read: the paths of those that were, as seen from the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, dict[str, dict[str, Any]]] = {}
        self._asked: dict[str, set[str]] = {}
        self.read: set[str] = set()

    def of(self, name: str) -> dict[str, Any]:
        """Return what the nearest metadata file says of a picture that it names; nothing where none does.

        Args:
          name: the path of the picture as seen from the folder.
        """
        parts = name.split("/")
        for depth in range(len(parts) - 1, -1, -1):
            folder = "/".join(parts[:depth])
            rows = self._in(folder)
            for spelling in spellings("/".join(parts[depth:])) if rows else ():
                if spelling in rows:
                    self._asked.setdefault(folder, set()).add(spelling)
                    return rows[spelling]
        return {}

    def say_what_is_left(self) -> None:
        """Log the rows that name no picture which is there."""
        for folder, rows in self._folders.items():
            if left := [name for name in rows if name not in self._asked.get(folder, ())]:
                file = next(file for file in _files(self._root / folder) if names_files(file))
                said = "rows name pictures that are not there, such as"
                _logger.warning("%s: %d %s %r", file, len(left), said, left[0])

    def _in(self, folder: str) -> dict[str, dict[str, Any]]:
        if folder not in self._folders:
            rows: dict[str, dict[str, Any]] = {}
            for file in _files(self._root / folder):
                if names_files(file):
                    rows |= _rows_of(file)
                    self.read.add(f"{folder}/{file.name}" if folder else file.name)
            self._folders[folder] = rows
        return self._folders[folder]


def names_files(file: Path) -> bool:
    """Return whether a file is one of metadata, which names pictures under `file_name`."""
    if file.name not in NAMES:
        return False
    try:
        if file.suffix == ".csv":
            return _names.FILE_NAME in csv_table.Table(file).names
        first = next((line for line in _text.lines(file) if not isinstance(line, str) or line.strip()), "")
        return isinstance(first, str) and _names.FILE_NAME in jsonl.parse(first, "line 1", file)
    except (SampleError, TypeError):
        return False


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in NAMES if (folder / name).is_file()]


def _rows_of(file: Path) -> dict[str, dict[str, Any]]:
    """Return what a file says of each picture, by the name that it has there; rows that cannot be used are logged."""
    rows: dict[str, dict[str, Any]] = {}
    faults: list[SampleError] = []
    try:
        for place, row in csv_table.Table(file) if file.suffix == ".csv" else _lines(file):
            try:
                name, fields = _told(row, f"{file}: {place}")
                if name in rows:
                    raise SampleError(f"{file}: {place}: {name!r} is there already; leave one out")
                rows[name] = fields
            except SampleError as error:
                faults.append(error)
    except SampleError as error:  # the rest cannot be read
        faults.append(error)
    if faults:
        _logger.warning("%s: %d of its rows are left out, such as: %s", file, len(faults), faults[0])
    return rows


def _told(row: object, where: str) -> tuple[str, dict[str, Any]]:
    """Return the name of the picture that a row tells of, and what it tells.

    Raises:
      SampleError: it cannot be used.
    """
    if isinstance(row, SampleError):
        raise row
    name = row.get(_names.FILE_NAME) if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(name, str) or not name:
        raise SampleError(f"{where}: has no {_names.FILE_NAME}; name the picture that it belongs to")
    try:
        check_keys(row)
    except BadEntry as error:
        raise SampleError(f"{where}: {error}") from error
    fields = {key: value for key, value in row.items() if key != _names.FILE_NAME}
    return name.replace("\\", "/").removeprefix("./"), _pictures.with_text(fields, where)


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
