"""Files that are whole or absent, checked before use, and one writer at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from camml.durable import Write, digest, disk_errors, replacing
from camml.errors import StoreCorruptedError, StoreLockedError

LOCK = "lock"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """The manifest's entry for a file; `modified` is the time in nanoseconds at which its writer finished."""

    name: str
    bytes: int
    sha256: str
    modified: int = 0


def write_file(folder: Path, name: str, write: Write, *, durable: bool = True) -> FileRecord:
    """Write `folder/name` with `write`; it appears under that name only when complete; `durable` as in `replacing`.

    Raises:
      DiskError: the disk is full or not writable; nothing is left behind.
    """
    with replacing(folder / name, durable=durable) as unfinished:
        write(unfinished)
        facts = unfinished.stat()
        return FileRecord(name, facts.st_size, digest(unfinished), facts.st_mtime_ns)


def check_size(folder: Path, record: FileRecord) -> tuple[Path, int]:
    """Return the path of a file that has the length recorded, and when it was last modified, in nanoseconds.

    Raises:
      FileNotFoundError: it is gone; a writer may have replaced it.
      StoreCorruptedError: its length is another.
    """
    path = folder / record.name
    facts = path.stat()
    if facts.st_size != record.bytes:
        raise StoreCorruptedError(f"{path} is corrupted: {facts.st_size} bytes, {record.bytes} were written; {REMEDY}")
    return path, facts.st_mtime_ns


def compare(path: Path, record: FileRecord) -> None:
    """Raise if a file has another checksum than the one recorded; all of it is read.

    Raises:
      StoreCorruptedError: the checksum differs from the recorded one.
    """
    if digest(path) != record.sha256:
        raise StoreCorruptedError(f"{path} is corrupted: its checksum is not the one written; {REMEDY}")


REMEDY = "restore it from a copy, or build the datastore again"


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`; the system frees it when the process ends, however it ends.

    Raises:
      StoreLockedError: another process, which is named, holds it.
    """
    import fcntl

    with disk_errors(folder / LOCK):
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
            message = f"process {owner} is writing to {folder}; try again when it is done"
            raise StoreLockedError(message) from error
        with suppress(OSError):  # the number is a courtesy: a full disk shall say so where it matters
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
