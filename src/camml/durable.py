"""Files that are there whole or not at all, whatever happens while they are written."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident

from camml.errors import DiskError, OptionError

UNFINISHED = ".unfinished"
"""The ending of a file that is being written; one that is found is what a killed process left."""


def write_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`, which keeps what it held until all of it is on the disk.

    Raises:
      DiskError: the disk is full, or the folder is not there or not writable; nothing is left behind.
    """
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)
    sync_folder(path.parent)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` in one step once it is written completely.

    Args:
      path: what it becomes; of several processes or threads that write it, the last one wins.
      durable: its content shall outlive a power cut; its name does so only after `sync_folder`.

    Raises:
      DiskError: the disk is full or not writable; nothing is left behind.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}-{get_ident():x}{UNFINISHED}")
    with disk_errors(path):
        try:
            yield unfinished
            if durable:
                with unfinished.open("rb+") as file:
                    os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush the content of a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    with disk_errors(folder):
        sync(folder)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
      OSError: it cannot be read, or is not an ordinary file: a pipe or a device may have no end.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not an ordinary file", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_unoccupied(folder: Path, what: str, ours: Callable[[Path], bool]) -> None:
    """Raise if a folder that is to be filled holds anything that an interrupted call did not leave there.

    Hidden files may be there: programs that show folders leave some.

    Args:
      what: the folder is to hold, for the message.
      ours: says whether a path in the folder is what an interrupted call left.

    Raises:
      OptionError: it holds something else, or is a file.
      DiskError: it cannot be read.
    """
    with disk_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise OptionError(f"{folder} is a file; give a folder")
        there = sorted(folder.iterdir()) if folder.is_dir() else []
        for path in there:
            if not path.name.startswith(".") and not path.name.endswith(UNFINISHED) and not ours(path):
                raise OptionError(
                    f"{folder} holds something else than {what}, such as {path.name!r}; give a new or an empty folder"
                )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says while writing to `path` into a DiskError."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "free some space; what was there before is unharmed" if full else "is the place writable?"
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            remedy = "a file is where a folder is needed; give another place"
        raise DiskError(f"cannot write {path}: {error.strerror or error}; {remedy}") from error


Write = Callable[[Path], object]
"""Fills the file it is given."""
