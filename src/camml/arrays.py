"""Arrays under keys in a folder: memory-mapped, bounded, shared by any number of processes, safe to delete.

A *shard* is two files that one process appends to: `NAME.f16` with the numbers, and `NAME.jsonl` with a line for each
array (key, place, shape, checksum), written after its numbers. So there are no locks: what a killed process left by
half is a line without its end or a checksum that does not fit, and counts as not there.
"""

import errno
import json
import os
import threading
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from camml.durable import disk_errors

NUMBERS, JOURNAL = ".f16", ".jsonl"
SHARD_BYTES = 256 * 2**20

Array = np.ndarray[Any, np.dtype[np.float16]]


class Entry(NamedTuple):
    """The location of an array: bytes from the start of a shard, its shape, and the CRC-32 of its bytes."""

    shard: Path
    start: int
    shape: tuple[int, ...]
    checksum: int


class ArrayCache:
    """Arrays of float16 under keys.

    Args:
      folder: where the shards are; other caches may lie beside it.
      root: the folder whose shards together have the bound, by default `folder`.
      max_bytes: of all shards below `root`; the shard that was not used for the longest time goes first. None for no
        bound. Each process that writes may exceed it by one shard.
    """

    def __init__(self, folder: Path, root: Path | None = None, max_bytes: int | None = None) -> None:
        self.folder = folder
        self.root = root or folder
        self.max_bytes = max_bytes
        self.shard_bytes = min(SHARD_BYTES, max_bytes // 8) if max_bytes else SHARD_BYTES
        self._start()
        self.refresh()

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Array | None:
        """Return the array of `key`, mapped from disk and read-only; None where no intact one is there."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        count = int(np.prod(entry.shape))
        raw = self._mapped(entry.shard, entry.start + 2 * count)
        if raw is not None:
            raw_array = raw[entry.start : entry.start + 2 * count]
            if entry in self._checked or zlib.crc32(raw_array.data) == entry.checksum:
                self._checked.add(entry)  # once is enough: what is written is never changed
                array: Array = raw_array.view(np.float16).reshape(entry.shape)
                return array
        self._entries.pop(key, None)
        return None

    def put(self, key: str, array: Array) -> None:
        """Keep `array` under `key`; nothing is done where it is there already, or is larger than a shard may be.

        Raises:
          DiskError: the disk is full or not writable.
        """
        if key in self._entries or (self.max_bytes and array.nbytes > self.shard_bytes):
            return
        with self._lock, disk_errors(self.folder):
            shard, numbers, journal = self._writable(array.nbytes)
            data = np.ascontiguousarray(array, np.float16).tobytes()
            start = numbers.tell()
            _append(numbers, data)
            entry = Entry(shard, start, array.shape, zlib.crc32(data))
            line = {"key": key, "start": start, "shape": array.shape, "checksum": entry.checksum}
            _append(journal, json.dumps(line).encode() + b"\n")
            self._entries[key] = entry

    def refresh(self) -> None:
        """Take notice of what other processes have added."""
        for journal in sorted(self.folder.glob(f"*{JOURNAL}")):
            shard = journal.with_suffix(NUMBERS)
            with suppress(OSError):  # another process removed it
                size = shard.stat().st_size
                for line in self._new_lines(journal):
                    entry = _entry(line, shard)
                    if entry and entry[1].start + 2 * int(np.prod(entry[1].shape)) <= size:
                        self._entries[entry[0]] = entry[1]

    def size(self) -> int:
        """Return the bytes of all shards below `root`."""
        return sum(size for _, size, _ in _shards(self.root))

    def _start(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._checked: set[Entry] = set()
        self._maps: dict[Path, np.memmap[Any, Any]] = {}
        self._read: dict[Path, int] = {}
        self._lock = threading.Lock()
        self._writer: tuple[Path, BinaryIO, BinaryIO] | None = None
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start()
        self.refresh()

    def _new_lines(self, journal: Path) -> Iterator[bytes]:
        """Read the complete lines that were not read before."""
        start = self._read.get(journal, 0)
        with journal.open("rb") as file:
            file.seek(start)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read[journal] = start + len(whole) + len(end)
        yield from whole.splitlines()

    def _mapped(self, shard: Path, end: int) -> "np.memmap[Any, Any] | None":
        """Map the bytes of a shard, at least up to `end`; return None where it has them no longer."""
        mapped = self._maps.get(shard)
        if mapped is None or len(mapped) < end:
            try:
                mapped = np.memmap(shard, np.uint8, "r")
                os.utime(shard)  # the shards that are used are the last to be removed
            except (OSError, ValueError):  # gone, or empty
                return None
            self._maps[shard] = mapped
        return mapped if len(mapped) >= end else None

    def _writable(self, more: int) -> tuple[Path, BinaryIO, BinaryIO]:
        """Return the shard of this process, with room for `more` bytes."""
        if self._process != os.getpid():  # a child shall not write to the shard of its parent
            self._writer, self._process = None, os.getpid()
        if self._writer and self._writer[1].tell() + more > self.shard_bytes:
            self.close()
        if self._writer is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room()
            shard = self.folder / f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}{NUMBERS}"
            # unbuffered and never synced: a checksum tells what a crash did not leave whole, and it is computed again
            journal = shard.with_suffix(JOURNAL)
            self._writer = shard, shard.open("wb", buffering=0), journal.open("wb", buffering=0)
        return self._writer

    def _make_room(self) -> None:
        """Remove the shards that were not used for the longest time, until another one fits."""
        if self.max_bytes is None:
            return
        shards = _shards(self.root)
        total = sum(size for _, size, _ in shards)
        for _, size, shard in shards:
            if total + self.shard_bytes <= self.max_bytes:
                break
            remove(shard)
            for key, entry in self._entries.copy().items():  # other threads add and remove some meanwhile
                if entry.shard == shard:
                    self._entries.pop(key, None)
            self._maps.pop(shard, None)
            total -= size

    def close(self) -> None:
        """Finish the shard that this process writes."""
        if self._writer:
            for file in self._writer[1:]:
                file.close()
        self._writer = None


def remove(shard: Path) -> None:
    """Delete a shard; processes that have it mapped keep what they have."""
    for path in (shard.with_suffix(JOURNAL), shard):
        path.unlink(missing_ok=True)


def _append(file: BinaryIO, data: bytes) -> None:
    """Write all of `data`; an unbuffered file says by its count alone that the disk was full in the middle."""
    if file.write(data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _shards(root: Path) -> Sequence[tuple[float, int, Path]]:
    """Return when each shard below `root` was last used, its bytes and its path, the oldest first."""
    shards = []
    for shard in root.rglob(f"*{NUMBERS}"):
        with suppress(OSError):
            status = shard.stat()
            shards.append((status.st_mtime, status.st_size, shard))
    return sorted(shards)


def _entry(line: bytes, shard: Path) -> tuple[str, Entry] | None:
    """Return key and place from a line of a journal; None if the line is damaged."""
    try:
        entry = json.loads(line)
        return str(entry["key"]), Entry(shard, int(entry["start"]), tuple(entry["shape"]), int(entry["checksum"]))
    except (ValueError, KeyError, TypeError):
        return None
