"""Folders for the pictures of one request, which are gone with the request, or at the next start."""

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "camml-serve"
_NAME = re.compile(rf"{PREFIX}-(\d+)-.+")


def folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that lives as long as its context, named after this process."""
    return tempfile.TemporaryDirectory(prefix=f"{PREFIX}-{os.getpid()}-")


def sweep() -> int:
    """Remove the folders of servers that were killed, and return how many; called before the first request.

    A server in a container always has the same number, so folders of this very number are left from before, too.
    """
    count = 0
    for entry in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*"):
        match = _NAME.fullmatch(entry.name)
        if match and _is_ours(entry) and (int(match[1]) == os.getpid() or not _runs(int(match[1]))):
            shutil.rmtree(entry, ignore_errors=True)
            count += 1
    return count


def _is_ours(entry: Path) -> bool:
    with suppress(OSError):
        return not entry.is_symlink() and entry.is_dir() and entry.stat().st_uid == os.getuid()
    return False


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
