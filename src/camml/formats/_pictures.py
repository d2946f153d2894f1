"""A picture in a folder as a sample: what a file beside it says of it, or its own notes, or its name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.formats import _entries, _names, _text, _walk
from camml.formats._faults import check_keys, marked_if_repeated
from camml.formats._texts import plain_text
from camml.images import words_in

LARGEST = 8 * 2**20
"""Bytes of a file beside a picture that is read."""


def sample(name: str, path: Path, origin: str, row: Mapping[str, Any]) -> _entries.Entry:
    """Return the name of a picture with its sample, or with what is wrong with it.

    Args:
      name: its path as seen from the folder.
      path: where it is.
      origin: which folder it is in.
      row: what the metadata of the folder say of it; a file beside it comes first.
    """
    try:
        said = {**row, **_beside(path)}
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


def _beside(path: Path) -> dict[str, Any]:
    """Return the text and other fields that files beside a picture give it: `pump.txt` or `pump.jpg.txt`."""
    said: dict[str, Any] = {}
    if (file := _first(path, _walk.JSON)) is not None:
        said = _fields(file)
    if (file := _first(path, _walk.TEXTS)) is not None and (text := _read(file).strip()):
        said["text"] = text
    return said


def _first(path: Path, endings: tuple[str, ...]) -> Path | None:
    files = (path.with_name(name) for name in _walk.beside(path.name, endings))
    return next((file for file in files if file.is_symlink() or file.exists()), None)


def _fields(file: Path) -> dict[str, Any]:
    try:
        fields = json.loads(_read(file) or "{}", parse_constant=lambda _: None, object_pairs_hook=marked_if_repeated)
        check_keys(fields)
    except (ValueError, RecursionError) as error:
        raise SampleError(f"{file}: not JSON ({error}); mend it, or write the text into a .txt file") from error
    except _entries.BadEntry as error:
        raise SampleError(f"{file}: {error}") from error
    if not isinstance(fields, dict):
        raise SampleError(f'{file}: is {_entries.kind(fields)}; write an object, such as {{"text": "..."}}')
    return with_text(fields, str(file))


def with_text(fields: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return what is said of a picture with its text, if it has one, under `text`.

    Args:
      place: where it is said, for messages.

    Raises:
      SampleError: its text is none.
    """
    named = dict(fields)
    for key in ("text", "caption", "description"):
        name = _names.column(named, key)
        if name is not None and named[name]:
            named["text"] = _text_in(named.pop(name), key, place)
            break
    else:
        named.pop("text", None)
    return named


def _text_in(value: object, key: str, place: str) -> str:
    try:
        return plain_text({"text": value}).words
    except _entries.BadEntry as error:
        raise SampleError(f"{place}: {str(error).replace('text', key, 1)}") from error


def _read(file: Path) -> str:
    if file.exists() and not file.is_file():
        raise SampleError(f"{file}: is a folder or no regular file; rename it, or put the picture's text there")
    if file.exists() and not file.stat().st_size:
        return ""
    with _text.open_text(file) as stream:
        offset, data = stream.tell(), stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise SampleError(f"{file}: has more than {LARGEST >> 20} MB, too much for the text of one picture; shorten it")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _text.not_utf8(file, "", offset + error.start, data[error.start]) from error
