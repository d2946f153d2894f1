"""A record of readers and their generations, so that no picture is deleted under a reader.

Data files stay readable to whoever has them open, but a picture is opened by its name, at any time. So each generation
of a datastore that copies pictures has a file which its readers hold a shared lock on; the system frees it when a
process ends, however it ends.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ENDING = ".reading"


def name_of(generation: int) -> str:
    """Return the name of the file that readers of a generation lock."""
    return f"{generation:06d}{ENDING}"


class Reading:
    """A lock on a generation, held until nobody refers to it any more."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self._handle)


def hold(folder: Path, generation: int) -> Reading | None:
    """Return a lock on a generation; None where there is nothing to lock.

    The caller looks afterwards whether the generation is still the newest: if so, no writer will have missed the lock.
    """
    try:
        handle = os.open(folder / name_of(generation), os.O_RDONLY)
    except OSError:  # written before there were such files, or copied without them
        return None
    reading = Reading(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # a writer is looking at it, so that it is not the newest; or a file system without locks
        return None
    return reading


def earlier_are_read(folder: Path, generation: int) -> bool:
    """Return whether anybody reads a generation before this one; files that nobody locks are removed."""
    read = [_is_read(path) for path in _files(folder) if path.name != name_of(generation)]
    return any(read)


def _is_read(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:  # of another user: nobody can tell, so nothing is deleted
        return True
    reading = Reading(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody reads it, or the file system has no locks
        return True
    with suppress(OSError):
        path.unlink()  # while the lock is held: who opens it now finds that its generation is not the newest
    del reading
    return False


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name.endswith(ENDING))
