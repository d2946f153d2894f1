"""Answers that were given before, by everything that they depend on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camml.evaluation.files import write_bytes


class Cache:
    """JSON objects by key, a file each; several processes may read and write at once.

    Args:
      folder: where they are; None to remember nothing.

    Attributes:
      added: the keys under which this object has put something.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.added: set[str] = set()

    def get(self, key: str) -> dict[str, Any] | None:
        """Return what was put under `key`; None where there is nothing, or nothing that can be read."""
        place = self._place(key)
        try:
            value = json.loads(place.read_bytes()) if place else None
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Remember `value` under `key`.

        Raises:
          DiskError: the folder cannot be written.
        """
        self.added.add(key)
        if place := self._place(key):
            write_bytes(place, json.dumps(value, ensure_ascii=False).encode())

    def _place(self, key: str) -> Path | None:
        return self.folder / key[:2] / f"{key}.json" if self.folder else None


class Memory(Cache):
    """A cache that is quick to ask again in one process, with or without a folder for further ones."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__(folder)
        self._known: dict[str, dict[str, Any]] = {}

    def get(self, key: str) -> dict[str, Any] | None:
        """Return what was put under `key`; None where there is nothing."""
        if key not in self._known and (value := super().get(key)) is not None:
            self._known[key] = value
        return self._known.get(key)

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Remember `value` under `key`; see `Cache.put`."""
        self._known[key] = dict(value)
        super().put(key, value)
