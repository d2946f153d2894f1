"""A picture in a folder as a sample: what a file beside it says of it, or its own notes, or its name."""

import json
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.formats import _entries, _names, _text, _walk
from camml.formats._faults import check_keys, marked_if_repeated
from camml.formats._texts import plain_text
from camml.images import words_in

LARGEST, LARGEST_JSON = 8 * 2**20, 64 * 2**20
"""Bytes of a file beside a picture that is read; those of programs that mark pictures may hold the picture, too."""
_TEXTS = ("text", "caption", "description")
_DATA = re.compile(r"data:image/.*|[\w+/-]{256,}={0,2}\s*", re.ASCII | re.DOTALL)
"""Values that are files, such as pictures, in the letters of base64."""

_logger = logging.getLogger("camml")


class Beside:
    """The files beside pictures that tell of them: `pump.txt` or `pump.jpg.txt`, also in other letters."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, str]] = {}
        self._left: list[str] = []

    def of(self, path: Path) -> dict[str, Any]:
        """Return the text and other fields that files beside a picture give it.

        Raises:
          SampleError: such a file cannot be read.
        """
        said: dict[str, Any] = {}
        if (file := self._first(path, _walk.JSON)) is not None:
            fields = _fields(file)
            if isinstance(fields, str):
                self._left.append(f"{file}, which {fields}")
            else:
                said = fields
        if (file := self._first(path, _walk.TEXTS)) is not None and (text := _read(file, LARGEST).strip()):
            said["text"] = text
        return said

    def say_what_is_left(self) -> None:
        """Log how many of these files say nothing of a picture."""
        if self._left:
            said = "files beside pictures are passed over, such as"
            then = 'what is read is an object, such as {"text": "..."}'
            _logger.warning("%d %s %s; %s", len(self._left), said, self._left[0], then)

    def _first(self, path: Path, endings: tuple[str, ...]) -> Path | None:
        names = _walk.beside(path.name, endings)
        there = self._in(path.parent)
        name = next((there[name] for name in (*names, *map(str.lower, names)) if name in there), None)
        return None if name is None else path.with_name(name)

    def _in(self, folder: Path) -> dict[str, str]:
        """Return the files in a folder that may tell of a picture, by their names.

        One that tells of no picture by its very name is also there in small letters.
        """
        if folder not in self._folders:  # they come folder by folder, so of others those above are asked for again
            self._folders = {other: names for other, names in self._folders.items() if folder.is_relative_to(other)}
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                names = []
            texts = [name for name in names if name.lower().endswith(_walk.TEXTS + _walk.JSON)]
            pictures = (name for name in names if texts and name.lower().endswith(_walk.PICTURES))
            exact = {name for picture in pictures for name in _walk.beside(picture, _walk.TEXTS + _walk.JSON)}
            loose = {name.lower(): name for name in reversed(texts) if name not in exact}
            self._folders[folder] = loose | {name: name for name in texts}
        return self._folders[folder]


def sample(name: str, path: Path, origin: str, row: Mapping[str, Any], beside: Beside) -> _entries.Entry:
    """Return the name of a picture with its sample, or with what is wrong with it.

    Args:
      name: its path as seen from the folder.
      path: where it is.
      origin: which folder it is in.
      row: what the metadata of the folder say of it.
      beside: the files beside pictures, which come first.
    """
    try:
        said = {**row, **beside.of(path)}
        text = said.pop("text", "")
        if not text and not said.get("conversations"):
            text = words_in(path) or _walk.readable(name)
        meta = {"file": name, "origin": {"folder": origin, "version": _version(path)}}
    except SampleError as error:
        return name, error
    entry = {**said, "id": _walk.id_of(name), "image": str(path), "text": text, **meta}
    return name, _entries.find(entry, "what is said of it", path, path.parent, _entries.any_text)[1]


def _version(path: Path) -> str:
    """Return what changes when a file is written."""
    try:
        state = path.stat()
    except OSError:  # a link to nowhere; whoever opens it says so
        return ""
    return f"{state.st_size:x}-{state.st_mtime_ns:x}"


def _fields(file: Path) -> dict[str, Any] | str:
    """Return what a file says of a picture, or in words why it says nothing."""
    if file.is_file() and file.stat().st_size > LARGEST_JSON:
        return f"has more than {LARGEST_JSON >> 20} MB"
    try:
        said = _read(file, LARGEST_JSON) or "{}"
        fields = json.loads(said, parse_constant=lambda _: None, object_pairs_hook=_without_files)
        check_keys(fields)
    except (ValueError, RecursionError) as error:
        raise SampleError(f"{file}: not JSON ({error}); mend it, or write the text into a .txt file") from error
    except _entries.BadEntry as error:
        raise SampleError(f"{file}: {error}") from error
    if isinstance(fields, list):
        return "is a list"
    if not isinstance(fields, dict):
        raise SampleError(f'{file}: is {_entries.kind(fields)}; write an object, such as {{"text": "..."}}')
    return with_text(fields, str(file))


def _without_files(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON without the values that are whole files, such as LabelMe's `imageData`."""
    return marked_if_repeated(
        [
            (key, value)
            for key, value in pairs
            if not isinstance(value, str) or key.lower() in _TEXTS or not _DATA.fullmatch(value)
        ]
    )


def with_text(fields: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return what is said of a picture with its text, if it has one, under `text`.

    Args:
      place: where it is said, for messages.

    Raises:
      SampleError: its text is none.
    """
    try:
        return with_its_text(fields)
    except _entries.BadEntry as error:
        raise SampleError(f"{place}: {error}") from error


def with_its_text(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same as `with_text`.

    Raises:
      BadEntry: its text is none.
    """
    named = dict(fields)
    for key in _TEXTS:
        name = _names.column(named, key)
        if name is not None and named[name]:
            named["text"] = _text_in(named.pop(name), key)
            break
    else:
        named.pop("text", None)
    return named


def _text_in(value: object, key: str) -> str:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "\n".join(part.strip() for part in value if part.strip())  # several captions
    try:
        return plain_text({"text": value}).words
    except _entries.BadEntry as error:
        raise _entries.BadEntry(str(error).replace("text", key, 1)) from error


def _read(file: Path, largest: int) -> str:
    if file.exists() and not file.is_file():
        raise SampleError(f"{file}: is a folder or no regular file; rename it, or put the picture's text there")
    if file.exists() and not file.stat().st_size:
        return ""
    with _text.open_text(file) as stream:
        offset, data = stream.tell(), stream.read(largest + 1)
    if len(data) > largest:
        raise SampleError(f"{file}: has more than {largest >> 20} MB, too much for the text of one picture; shorten it")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _text.not_utf8(file, "", offset + error.start, data[error.start]) from error
