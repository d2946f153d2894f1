"""The folder of a Hugging Face dataset, as its `save_to_disk` writes it; read with Arrow alone.

The columns are `id`, `text` or `conversations`, and, where there are images, `image`: a path, or an image file in the
dataset itself (a struct of `bytes` and `path`), which is written to the folder of images. Other columns are kept, as
JSON values; bytes among them are left out.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.formats import _arrow, _entries, _rows, _shards, _text

STATE = "state.json"
SPLITS = "dataset_dict.json"


def matches(path: Path) -> bool:
    """Return True for a folder that holds a dataset, or one for each split."""
    return path.is_dir() and ((path / STATE).is_file() or (path / SPLITS).is_file())


def read(path: Path, images: Path | None) -> Iterator[_entries.Entry]:
    """Yield each row as a sample."""
    written = images or _shards.images_beside(path)
    folder = _entries.folder_of_images(path / STATE, images)
    for number, row in enumerate(_stored_rows(path), 1):
        yield _rows.find(row, f"row {number}", path, folder, written)


def _stored_rows(path: Path) -> Iterator[dict[str, Any]]:
    for file in _data_files(path):
        yield from (row for row, _ in _arrow.rows(file))


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
