"""Comparing folders byte for byte."""

import hashlib
import json
from pathlib import Path
from typing import Any


def contents(folder: Path) -> dict[str, Any]:
    """The SHA-256 of every file below a folder, less the lock, which holds the number of a process.

    A datastore's manifest counts by what it says, less where it is and the times at which its files were written.
    """
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*")) if _counts(path)}


def _counts(path: Path) -> bool:
    return path.is_file() and path.name != "lock"


def _content(path: Path) -> Any:
    data = path.read_bytes()
    if path.name == "manifest.json":
        return json.loads(data, object_hook=_without_place_and_times)
    return hashlib.sha256(data).hexdigest()


def _without_place_and_times(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in ("modified", "homes", "checksum")}
