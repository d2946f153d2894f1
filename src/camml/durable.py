"""Files that are there whole or not at all, whatever happens while they are written."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from camml.errors import DiskError


def write_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`, which keeps what it held until all of it is on the disk.

    Raises:
      DiskError: the disk is full, or the folder is not there or not writable; nothing is left behind.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        try:
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
            _sync_folder(path.parent)
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
    except OSError as error:
        remedy = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "is the place writable?"
        raise DiskError(f"cannot write {path}: {error.strerror or error}; {remedy}") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
