"""WebDataset: tar files in which the files of one sample follow each other and share their name up to the first dot.

`cat.jpg`, `cat.json`, `cat.txt` are one sample with the id `cat` (or the `id` in its JSON): an image, what JSON says,
and a text, which may also be the `text`, `caption` or `conversations` in the JSON. A file, a folder of them, or a
pattern; images are written to the folder of images. The log names the files that are none of these.
"""

import gzip
import json
import logging
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from camml.errors import SampleError
from camml.formats import _entries, _names, _others, _pictures, _shards, _text, _walk
from camml.formats._faults import check_keys, marked_if_repeated
from camml.formats._images import write_image

SUFFIXES = (".tar", ".tar.gz", ".tgz")
MANY = True
"""Takes addresses and patterns, too."""
IMAGES = tuple(ending.removeprefix(".") for ending in _walk.PICTURES)
TEXTS = ("txt", "text", "caption", "cap")
JSON = ("json",)
Member = tuple[str, bytes | None]
"""Name or ending of a file, and its content; None for a link."""

_logger = logging.getLogger("camml")
_ENDINGS = (*IMAGES, *TEXTS, *JSON)
_GZIP = b"\x1f\x8b"
_END = bytes(1024)
"""What a tar file ends with, so that one that was cut short is known from a whole one."""


def matches(path: _shards.Source) -> bool:
    """Return True for a tar file, or a folder of them."""
    return _shards.matches(path, SUFFIXES)


def read(path: _shards.Source, images: Path | None) -> Iterator[_entries.Entry]:
    """Yield each group of files as a sample."""
    written = _shards.folder_written(path, images)
    _shards.say_what_is_left_out(path, "tar files")
    for _, of_file, key, files in _all_groups(path):
        place = f"sample {key!r}{of_file}"
        try:
            entry = _entry(key, files, written)
        except _entries.BadEntry as error:
            yield place, SampleError(f"{path}: {place}: {error}")
        else:
            yield _entries.find(entry, place, path, written, _entries.any_text)


def entries(path: _shards.Source, images: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the contents of each group of files, with its place, its image written to `images`.

    Raises:
      SampleError: a file cannot be read, or a group of files is no sample.
    """
    for name, _, key, files in _all_groups(path):
        try:
            yield f"{name}: sample {key!r}", _entry(key, files, images)
        except _entries.BadEntry as error:
            raise SampleError(f"{name}: sample {key!r}: {error}") from error


def _entry(key: str, members: list[Member], images: Path) -> dict[str, Any]:
    """Return the files of one sample as an entry of a JSON file."""
    if links := [ending for ending, data in members if data is None]:
        again = "write the tar file with `tar --dereference --hard-dereference`"
        raise _entries.BadEntry(f"its {links[0]} is a link, which has no content of its own; {again}")
    files = [(ending, data) for ending, data in members if data is not None]
    entry: dict[str, Any] = {"id": key}
    for ending, data in files:
        if ending in JSON:
            entry |= _object(data)
    texts = [(ending, data) for ending, data in files if ending in TEXTS and data.strip()]
    pictures = [(ending, data) for ending, data in files if ending in IMAGES]
    for kind, several in (("texts", texts), ("images", pictures)):
        if len(several) > 1:
            raise _entries.BadEntry(
                f"has {len(several)} {kind} ({', '.join(ending for ending, _ in several)}); keep one"
            )
    _take_text(entry, texts[0][1] if texts else None, any(ending in TEXTS for ending, _ in files))
    if not pictures and (named := _names.usual(entry, images).get("image")):
        raise _entries.BadEntry(
            f"its JSON names the image {named!r}, and its picture is not in the tar file; write it as "
            f"{posixpath.basename(key)}.png beside the JSON, or leave out `image`"
        )
    entry["image"] = str(write_image(pictures[0][1], f".{pictures[0][0]}", images)) if pictures else None
    return entry


def _take_text(entry: dict[str, Any], data: bytes | None, empty: bool) -> None:
    """Put the text of a sample under `text`: that of its file, or else what its JSON says, as beside a picture.

    Args:
      empty: whether without any of these the text is empty, since there is a file of it.
    """
    if data is None:
        told = _pictures.with_its_text(entry)
        if empty or "text" in entry:
            told.setdefault("text", "")
        entry.clear()
        entry.update(told)
        return
    if "text" not in entry and isinstance(entry.get("caption"), str):
        del entry["caption"]
    try:
        entry["text"] = _text.decoded(data)
    except UnicodeDecodeError as error:
        raise _entries.BadEntry(f"its text is not UTF-8 ({error.reason} at byte {error.start})") from error


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data, parse_constant=lambda _: None, object_pairs_hook=marked_if_repeated)
    except (ValueError, RecursionError) as error:
        raise _entries.BadEntry(f"its JSON cannot be read ({error})") from error
    if not isinstance(value, dict):
        raise _entries.BadEntry(f"its JSON is {_entries.kind(value)}, not an object")
    check_keys(value)
    return value


def _all_groups(source: _shards.Source) -> Iterator[tuple[str, str, str, list[Member]]]:
    """Yield (tar name, place suffix, key, members) for each sample; log files that belong to none.

    Raises:
      SampleError: there is no sample, though there are files.
    """
    others, empty = _others.Tally(), True
    for name, of_file in _shards.places(source, SUFFIXES):
        for key, files in _groups(name, others.add):
            empty = False
            yield name, of_file, key, files
    why = f"WebDataset parts names at the first dot, and what follows it must be one of {', '.join(_ENDINGS)}"
    if others and empty:
        raise SampleError(f"{source}: holds no samples, but {others}; {why}; rename them, as a.b.png to a_b.png")
    if others:
        _logger.warning("%s: passed over %s; %s", source, others, why)


def _groups(name: str, other: Callable[[str], None]) -> Iterator[tuple[str, list[Member]]]:
    """Yield the key of each sample, and the endings and contents of its files."""
    key, files = "", list[Member]()
    for path, data in _members(name, other):
        folder, base = posixpath.split(path)
        stem, _, ending = base.partition(".")
        its_key = posixpath.join(folder, stem)
        if its_key != key and files:
            yield key, files
            files = []
        key = its_key
        files.append((ending.lower(), data))
    if files:
        yield key, files


def _members(name: str, other: Callable[[str], None]) -> Iterator[Member]:
    """Yield names and contents of the files of a known kind in a tar file, read once from start to end.

    Args:
      other: called with the name of each file of another kind.
    """
    with _shards.opened(name) as stream:
        source = _Whole(cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if name.lower().endswith("gz") else stream)
        try:
            with tarfile.open(fileobj=cast(BinaryIO, source), mode="r|") as archive:
                for member in archive:
                    base, path = posixpath.basename(member.name), member.name.removeprefix("./")
                    link = member.islnk() or member.issym()  # to what was read before, or is not in the file at all
                    if base.startswith((".", "__")) or not (link or member.isfile()):
                        continue
                    if base.partition(".")[2].lower() not in _ENDINGS:
                        other(path)
                    elif link:
                        yield path, None
                    else:
                        file = archive.extractfile(member)
                        yield path, file.read() if file else b""
                _check_end(name, archive)
            source.check()
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            if source.start == _GZIP:
                base = posixpath.basename(name)
                raise SampleError(f"{name}: is packed by gzip; name it {base}.gz, or unpack it") from error
            raise SampleError(f"{name}: is not a complete tar file ({error}); copy or write it again") from error


def _check_end(name: str, archive: tarfile.TarFile) -> None:
    """Raise if something stands behind the end of a tar file that was read.

    Raises:
      SampleError: something does, as where two files were put together with `cat`.
    """
    while archive.fileobj and (block := archive.fileobj.read(2**16)):
        if block.strip(b"\0"):
            raise SampleError(
                f"{name}: there is more behind its end, such as a second tar file; give each a file of its own"
            )


class _Whole:
    """A stream that remembers its end: Python takes a tar file that was cut between two files for a whole one.

    Attributes:
      start: its first two bytes.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._last = b""
        self.start = b""

    def read(self, size: int) -> bytes:
        """Read as from any stream."""
        data = self._stream.read(size)
        self.start = self.start or data[: len(_GZIP)]
        self._last = (self._last + data)[-len(_END) :]
        return data

    def check(self) -> None:
        """Raise if it did not end as a tar file ends.

        Raises:
          EOFError: the end is missing.
        """
        while self.read(2**16):
            pass
        if self._last != _END:
            raise EOFError("its end is missing")
