"""Sources of several files: a folder, a pattern such as `s3://bucket/{000..127}.tar`, one file; here or elsewhere."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from camml.errors import SampleError
from camml.formats import _others, _walk
from camml.packages import cache_dir
from camml.remote import file_system, is_address, storage_errors

Source = Path | str
"""A path; as text, an address of object storage or a pattern of names."""

_logger = logging.getLogger("camml")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def is_pattern(text: str) -> bool:
    """Return True if the text names several files."""
    return bool(_RANGE.search(text)) or any(sign in text for sign in "*?[")


def is_hidden(name: str) -> bool:
    """Return True for a file that is no data, such as the `._NAME` that macOS writes beside every NAME."""
    return name.replace("\\", "/").rpartition("/")[2].startswith(".")


def matches(source: Source, suffixes: Sequence[str], below: bool = True) -> bool:
    """Return True if all files of a source end with one of `suffixes`, as far as it shows without asking a server.

    A folder with more pictures and PDF files than such files does not match: an archive among photos is no dataset.

    Args:
      below: pictures in folders below count, too; not so where the files may name them.
    """
    if isinstance(source, str):
        return source.lower().endswith(tuple(suffixes))
    if source.is_dir():
        count = sum(_is_one(path.name, tuple(suffixes)) for path in source.iterdir())
        return count > 0 and sum(1 for _ in islice(pictures(source, below), count + 1)) <= count
    return source.is_file() and source.name.lower().endswith(tuple(suffixes))


def pictures(folder: Path, below: bool = True) -> Iterator[str]:
    """Yield the names of the pictures and PDF files in a folder, but for pictures that were written out of shards.

    Args:
      below: those in folders below, too.
    """
    if below:
        names = (file.name for _, file in _walk.files(folder) if isinstance(file, Path))
    else:
        names = (path.name for path in folder.iterdir() if _is_one(path.name, _walk.PICTURES + _walk.PDF))
    yield from (name for name in names if not _walk.WRITTEN.fullmatch(name) and not _walk.PAGE.fullmatch(name))


def say_what_is_left_out(source: Source, kind: str, below: bool = True) -> None:
    """Log which pictures and PDF files in a folder are not read, since it is one of shards of a kind.

    Args:
      below: see `matches`.
    """
    if isinstance(source, Path) and source.is_dir() and (others := sorted(pictures(source, below))):
        but = "" if below else ", but for those that its rows name"
        _logger.warning("%s: read as %s; passed over %s%s", source, kind, _others.in_words(others), but)


def names(source: Source, suffixes: Sequence[str]) -> list[str]:
    """Return the files of a source, as paths or addresses: ranges in the order given, folders and patterns by name.

    Raises:
      SampleError: there are none.
    """
    files = [name for name_or_pattern in _ranges(str(source)) for name in _files(name_or_pattern, tuple(suffixes))]
    if not files:
        raise SampleError(f"{source}: there is no {' or '.join(suffixes)} file; check the address or path")
    return files


def places(source: Source, suffixes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the files of a source, each with the text to append to places in it: empty where there is one file.

    Raises:
      SampleError: there are none.
    """
    files = names(source, suffixes)
    for name in files:
        yield name, "" if len(files) == 1 else f" of {name.rpartition('/')[2]}"


@contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """Open the bytes of a file, which can be sought.

    Raises:
      SampleError: it cannot be opened or, later, read.
    """
    if is_address(name):
        with storage_errors(name, SampleError):
            system, path = file_system(name)
            with system.open(path, "rb") as stream:
                yield stream
        return
    try:
        with Path(name).open("rb") as stream:
            yield stream
    except OSError as error:
        raise SampleError(f"{name}: cannot be read ({error.strerror}); check the path and its permissions") from error


def folder_written(source: Source, images: Path | None) -> Path:
    """Return the folder for the images in a source: the one given, one beside it, or for an address the cache."""
    if images is not None:
        return images
    if is_address(source):
        return cache_dir() / "images"
    return images_beside(str(source).split("{")[0].split("*")[0].rstrip("-_/") if is_pattern(str(source)) else source)


def images_beside(path: Source) -> Path:
    """Return the folder for the images in a file or folder, beside it; `.` and `..` have names of their own, too."""
    whole = Path(os.path.abspath(path))
    return whole.parent / f"{whole.name}{_walk.OF_WRITTEN}"


def _ranges(text: str) -> Iterator[str]:
    """Yield `text` with each {first..last} filled in, as wide as its first number is."""
    match = _RANGE.search(text)
    if match is None:
        yield text
        return
    first, last = match[1], match[2]
    for number in range(int(first), int(last) + 1):
        yield from _ranges(f"{text[: match.start()]}{number:0{len(first)}}{text[match.end() :]}")


def _files(name: str, suffixes: tuple[str, ...]) -> list[str]:
    if is_address(name):
        return _files_there(name, suffixes)
    path = Path(name)
    if path.is_dir():
        return sorted(str(file) for file in path.iterdir() if _is_one(file.name, suffixes))
    if path.is_file():
        return [name]
    if not is_pattern(name):
        raise SampleError(f"{name}: no such file or folder; check the path")
    named = is_hidden(path.name)  # a pattern that begins with a dot asks for hidden files
    return sorted(
        str(file) for file in path.parent.glob(path.name) if file.is_file() and (named or not is_hidden(file.name))
    )


def _is_one(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes) and not is_hidden(name)


def _files_there(name: str, suffixes: tuple[str, ...]) -> list[str]:
    scheme = name.partition("://")[0]
    with storage_errors(name, SampleError):
        system, path = file_system(name)
        if is_pattern(name):
            addresses = [address for address in system.glob(path) if is_hidden(name) or not is_hidden(address)]
        elif name.lower().endswith(suffixes):
            addresses = [path]
        else:
            addresses = [address for address in system.ls(path, detail=False) if _is_one(address, suffixes)]
    return [f"{scheme}://{address.lstrip('/')}" for address in sorted(addresses)]
