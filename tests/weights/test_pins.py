"""The hash of a folder's tensors: the same whatever the files, another for any other number."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from camml.errors import ModelFolderError
from camml.weights import _pins, tensors_hash

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(4, dtype=torch.bfloat16), "empty": torch.zeros(0)}


def folder(place: Path, *files: dict[str, torch.Tensor], **metadata: str) -> Path:
    """A folder with the tensors in so many files."""
    place.mkdir(parents=True)
    for number, tensors in enumerate(files):
        save_file(tensors, place / f"model-{number}.safetensors", metadata=metadata or None)
    return place


def test_how_tensors_are_spread_does_not_count(tmp_path: Path) -> None:
    whole = tensors_hash(folder(tmp_path / "whole", TENSORS))
    shards = [{"empty": TENSORS["empty"], "b": TENSORS["b"]}, {"a": TENSORS["a"]}]
    assert tensors_hash(folder(tmp_path / "shards", *shards, format="pt")) == whole
    (tmp_path / "whole" / "config.json").write_text("{}")
    (tmp_path / "whole" / "._model-0.safetensors").write_bytes(b"\x00\x05\x16\x07")
    assert tensors_hash(tmp_path / "whole") == whole


@pytest.mark.parametrize(
    "changes",
    [
        {"b": TENSORS["b"] + 1e-6},
        {"b": TENSORS["b"].reshape(3, 2)},
        {"a": torch.ones(4, dtype=torch.float16)},
        {"more": torch.ones(1)},
    ],
    ids=["a number", "a shape", "a type", "one more"],
)
def test_any_other_tensor_is_another_hash(tmp_path: Path, changes: dict[str, torch.Tensor]) -> None:
    whole = tensors_hash(folder(tmp_path / "whole", TENSORS))
    assert tensors_hash(folder(tmp_path / "other", TENSORS | changes)) != whole


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path, monkeypatch) -> None:
    place = folder(tmp_path / "it", TENSORS)
    first = tensors_hash(place, keep=True)
    read, of_tensors = [], _pins._of_tensors
    monkeypatch.setattr(_pins, "_of_tensors", lambda files: read.append(1) or of_tensors(files))
    assert tensors_hash(place) == first
    _pins._known.clear()  # as in another process
    assert (tensors_hash(place), read) == (first, [])
    save_file({"b": TENSORS["b"]}, place / "model-0.safetensors")
    os.utime(place / "model-0.safetensors", ns=(1, 1))
    assert tensors_hash(place) != first
    assert read == [1]


def test_pickled_weights_are_hashed_as_files(tmp_path: Path) -> None:
    for name, data in (("pytorch_model-00001-of-00002.bin", b"one"), ("pytorch_model-00002-of-00002.bin", b"two")):
        (tmp_path / name).write_bytes(data)
    first = tensors_hash(tmp_path)
    (tmp_path / "pytorch_model-00002-of-00002.bin").write_bytes(b"TWO!")
    assert tensors_hash(tmp_path) != first


def test_what_holds_no_weights_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="holds no weights"):
        tensors_hash(tmp_path)
    beyond = json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    for broken in (b"", b"x", b"\x02\0\0\0\0\0\0\0[]..", b"\xff" * 20, len(beyond).to_bytes(8, "little") + beyond):
        (tmp_path / "model.safetensors").write_bytes(broken)
        with pytest.raises(ModelFolderError, match="not a complete safetensors file"):
            tensors_hash(tmp_path)
