"""The folder of a Hugging Face dataset, as its `save_to_disk` writes it; read with Arrow alone.

The columns are `id`, `text` or `conversations`, and, where there are images, `image`: a path, or an image file in the
dataset itself (a struct of `bytes` and `path`), which is written to the folder of images. Other columns are kept, as
JSON values; bytes among them are left out.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from camml import durable
from camml.errors import DiskError, SampleError
from camml.formats import _entries, _text

STATE = "state.json"
SPLITS = "dataset_dict.json"
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp"}
_ROWS = 64
"""Rows taken out of Arrow at once; they hold whole images."""


def matches(path: Path) -> bool:
    """Whether it is a folder that holds a dataset, or one for each split."""
    return path.is_dir() and ((path / STATE).is_file() or (path / SPLITS).is_file())


def read(path: Path, images: Path | None) -> Iterator[_entries.Found]:
    """Each row as a sample."""
    written = images or path.with_name(f"{path.absolute().name}-images")
    folder = _entries.folder_of_images(path / STATE, images)
    for number, row in enumerate(_rows(path), 1):
        place = f"row {number}"
        try:
            row["image"] = _image(row.get("image"), written)
        except _entries.BadEntry as error:
            yield place, SampleError(f"{path}: {place}: {error}")
        else:
            yield _entries.find(_plain(row), place, path, folder, _entries.any_text)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    for file in _data_files(path):
        try:
            with pa.memory_map(str(file)) as source:
                for batch in pa.ipc.open_stream(source):
                    batch.validate(full=True)  # Arrow trusts its input: a damaged offset would read foreign memory
                    for start in range(0, batch.num_rows, _ROWS):
                        yield from batch.slice(start, _ROWS).to_pylist()
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            if isinstance(error, SampleError | DiskError):
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise SampleError(
                f"{file}: cannot be read as Arrow ({reason}); save or download the dataset again"
            ) from error


def _data_files(path: Path) -> list[Path]:
    if not (path / STATE).is_file() and (path / SPLITS).is_file():
        splits = sorted(folder.parent.name for folder in path.glob(f"*/{STATE}"))
        raise SampleError(f"{path}: holds one dataset for each split; give one of them: {', '.join(splits) or 'none'}")
    state = _state(path / STATE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise SampleError(f"{path}: has a selection of rows beside it; save it again after `flatten_indices()`")
    files = state.get("_data_files")
    names = [file.get("filename") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise SampleError(f"{path / STATE}: does not list the files of a dataset; save or download the dataset again")
    return [path / str(name) for name in names]


def _state(path: Path) -> dict[str, Any]:
    with _text.open_text(path) as stream:
        data = stream.read()
    try:
        state = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SampleError(f"{path}: not JSON ({error}); save or download the dataset again") from error
    return state if isinstance(state, dict) else {}


def _image(value: object, folder: Path) -> object:
    """The path of an image; one that the dataset holds is written under a name made of its content."""
    if not isinstance(value, Mapping):
        return value
    data, path = value.get("bytes"), value.get("path")
    if data is None:
        return path
    if not isinstance(data, bytes):
        raise _entries.BadEntry(f"the bytes of its image are {_entries.kind(data)}")
    suffix = Path(path).suffix if isinstance(path, str) else ""
    if not suffix[1:].isalnum():
        suffix = next((suffix for start, suffix in _SUFFIXES.items() if data.startswith(start)), "")
    file = folder.absolute() / f"{hashlib.sha256(data).hexdigest()[:32]}{suffix}"
    if not file.is_file() or file.stat().st_size != len(data):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(f"cannot write {folder}: {error.strerror}; name another folder of images") from error
        durable.write_file(file, data)
    return str(file)


def _plain(value: Any) -> Any:
    """A value of Arrow as a value of JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items() if not isinstance(inner, bytes)}
    if isinstance(value, list):
        return [_plain(inner) for inner in value if not isinstance(inner, bytes)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
