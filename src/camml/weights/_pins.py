"""The SHA-256 of what a model folder computes with, whatever file it came in."""

import hashlib
import json
import mmap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from camml.durable import digest, write_file
from camml.errors import DiskError, ModelFolderError

DIGESTS = ".tensors.json"
"""The hidden file in a fetched folder that holds the hash, with size and time of the files it is of."""

_known: dict[str, tuple[Any, str]] = {}


def tensors_hash(folder: Path, *, keep: bool = False) -> str:
    """Return the SHA-256 of all tensors of a model folder: their names, types, shapes and bytes, in order of names.

    How they are spread over `*.safetensors` files does not count. Pickled weights (`*.bin`) are hashed as files. A file
    whose size and time are as before is not read again.

    Args:
      folder: of a model.
      keep: write the hash down in the folder, for other processes.

    Raises:
      ModelFolderError: it holds no weights, or a file of them is not complete.
    """
    files = sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("."))
    tensors = bool(files)
    files = files or sorted(path for path in folder.glob("*.bin") if not path.name.startswith("."))
    if not files:
        raise ModelFolderError(f"{folder} holds no weights (*.safetensors or *.bin); give a whole model folder")
    state = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files}
    key = str(folder.resolve())
    if key in _known and _known[key][0] == state:
        return _known[key][1]
    digests = _read(folder / DIGESTS, state) or (_of_tensors(files) if tensors else _of_files(files))
    _known[key] = state, digests
    if keep and not (folder / DIGESTS).exists():
        with suppress(DiskError):  # a folder that may only be read is hashed each time
            write_file(folder / DIGESTS, json.dumps({"sha256": digests, "files": state}).encode())
    return digests


def _read(path: Path, state: dict[str, list[int]]) -> str | None:
    """Return the hash that was written down, if it is of these files."""
    try:
        cached = json.loads(path.read_bytes())
        return str(cached["sha256"]) if cached["files"] == state else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _of_tensors(files: list[Path]) -> str:
    whole = hashlib.sha256()
    entries = sorted((name, path, entry) for path in files for name, entry in _header(path).items())
    for name, path, entry in entries:
        whole.update(f"{name}\0{entry['dtype']}\0{entry['shape']}\0".encode())
        for piece in _bytes(path, *entry["data_offsets"]):
            whole.update(piece)
    return whole.hexdigest()


def _header(path: Path) -> dict[str, Any]:
    """Return the entries of a safetensors file, with offsets from the beginning of the file.

    Source: the format's description, https://github.com/huggingface/safetensors#format
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(length)) if length < size else {}
        if not header:
            raise ValueError("no header")
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        for entry in entries.values():
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            if not 0 <= start <= end <= size:
                raise ValueError("a tensor beyond the end")
            entry["data_offsets"] = start, end
            entry["dtype"], entry["shape"] = str(entry["dtype"]), list(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFolderError(
            f"{path} is not a complete safetensors file ({error}); copy or download it again"
        ) from None
    return entries


def _bytes(path: Path, start: int, end: int) -> Iterator[memoryview]:
    """Yield the bytes of a file from `start` to `end`, without copies."""
    if start == end:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        piece = view[start:end]
        yield piece
        piece.release()
        view.release()


def _of_files(files: list[Path]) -> str:
    whole = hashlib.sha256()
    for path in files:
        whole.update(f"{path.name}\0{digest(path)}\0".encode())
    return whole.hexdigest()
