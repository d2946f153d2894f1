"""Model folders on disk: what they say they are, and their tensors."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from camml.durable import disk_errors, sync
from camml.errors import ModelFolderError, first_line

WEIGHT_FILES = ("model*.safetensors", "pytorch_model*.bin")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a place to write a folder that appears as `target` when it is complete, and not at all if something fails.

    Raises:
      ModelFolderError: `target` is there already.
      DiskError: no folder can be made there.
    """
    if os.path.lexists(target):  # a link that leads nowhere, too
        raise ModelFolderError(f"{target} is there already; give a new name, or remove it")
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield unfinished
        _as_usual(unfinished)
        for file in unfinished.rglob("*"):
            if file.is_file():
                sync(file)
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _as_usual(folder: Path) -> None:
    """Let others read a temporary folder and its files as the umask says; safetensors makes its files private."""
    probe = folder / ".new"
    probe.mkdir()
    mode = probe.stat().st_mode & 0o777
    probe.rmdir()
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(mode if path.is_dir() else mode & 0o666)


ADDED_FILE = "between.safetensors"
"""The file of what CaMML adds to its base model: perceivers, and a projector of ours. All versions call it so."""

PACKED = "packed.json"
"""The file that says that a folder holds only what was trained, see `camml.model.packed`."""


def is_packed(folder: Path) -> bool:
    """Return whether `folder` holds what was trained alone."""
    return (folder / PACKED).is_file()


def check_folder(folder: Path) -> dict[str, Any]:
    """Return the configuration of a model folder that has weights too; of a packed one, that it is CaMML's.

    Raises:
      ModelFolderError: no such folder, or it is not one of a model.
    """
    if not folder.is_dir():
        raise ModelFolderError(f"no folder {folder}; give a model folder, or fetch a model with `camml fetch`")
    if is_packed(folder):
        return {"model_type": "camml"}
    config = read_config(folder)
    if not any(any(folder.glob(pattern)) for pattern in WEIGHT_FILES):
        raise ModelFolderError(f"{folder} holds no weights ({' or '.join(WEIGHT_FILES)})")
    return config


def read_config(folder: Path) -> dict[str, Any]:
    """Return the `config.json` of a model folder.

    Raises:
      ModelFolderError: there is none, or it is not a JSON object.
    """
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelFolderError(f"{folder} is not a model folder: it has no config.json") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelFolderError(f"{file} is not JSON ({error}); fetch the model again") from None
    if not isinstance(config, dict):
        raise ModelFolderError(f"{file} holds a {type(config).__name__} where an object belongs")
    return config


def read_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors of a model folder by name, mapped from disk rather than read; safetensors before pickles.

    Raises:
      ModelFolderError: there are no weights, or a file of them cannot be read.
    """
    files = next((matching for pattern in WEIGHT_FILES if (matching := sorted(folder.glob(pattern)))), [])
    if not files:
        raise ModelFolderError(f"{folder} holds no weights ({' or '.join(WEIGHT_FILES)})")
    for file in files:
        yield from read_file(file)


def read_file(file: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors of one file by name: safetensors, or a pickle that holds nothing but tensors.

    Raises:
      ModelFolderError: it cannot be read, or holds something else.
    """
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (not a mapping)
                    yield name, tensors.get_tensor(name)
        else:
            yield from torch.load(file, map_location="cpu", mmap=True, weights_only=True).items()
    except (OSError, RuntimeError, ValueError, AttributeError, EOFError, UnpicklingError, SafetensorError) as error:
        reason = first_line(error)
        raise ModelFolderError(f"{file} cannot be read as weights ({reason}); fetch it again") from None


def check_complete(folder: Path, part: str, info: Mapping[str, Any]) -> None:
    """Raise a ModelFolderError unless every tensor found its place and every place its tensor."""
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[problem]:
            names = sorted(map(str, info[problem]))
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ModelFolderError(f"{folder}: {part} has {problem.replace('_', ' ')}: {', '.join(names[:3])}{more}")


def load_part(
    model: nn.Module, prefixes: tuple[str, ...], weights: Mapping[str, Tensor], source: Path, *, partial: bool = False
) -> None:
    """Put `weights` into the parts of `model` whose names begin with `prefixes`; all of them unless `partial`.

    Raises:
      ModelFolderError: a tensor is missing, left over or of another shape.
    """
    expected = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(prefixes)}
    problems = {
        "missing_keys": () if partial else expected.keys() - weights.keys(),
        "unexpected_keys": weights.keys() - expected.keys(),
        "mismatched_keys": [n for n in weights if n in expected and weights[n].shape != expected[n].shape],
    }
    check_complete(source, " and ".join(prefix.removesuffix(".") for prefix in prefixes), problems)
    model.load_state_dict(dict(weights), strict=False)
