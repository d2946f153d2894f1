"""Write the weighted mean of packed models that differ in their LoRA matrices alone.

python scripts/average_models.py OUT models/camml-mini=0.25 packed/560_steps=0.75

Weights of runs that start from the same model, or of a model and a run from it, lie close enough that their mean is a
good model, often a better one than either ("model soups", Wortsman et al., 2022). Every matrix is averaged by itself,
so the product of the means is not the mean of the products.
"""

import argparse
import json
import math
import shutil
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from camml.durable import disk_errors
from camml.errors import CaMMLError, ModelFolderError, OptionError
from camml.model.folder import PACKED, new_folder
from camml.model.packed import LORA

Part = tuple[Path, float]


def average(parts: list[Part], out: Path) -> None:
    """Write the mean of `parts`, packed models with weights, to the new folder `out`.

    Other files are those of the first.

    Raises:
      OptionError: fewer than two models, weights that do not sum to 1, or `out` is there.
      ModelFolderError: no packed model with LoRA matrices, or one that differs from the first in more than these.
      DiskError: the disk is full or not writable; nothing is left behind.
    """
    if len(parts) < 2:
        raise OptionError("give two models or more, each as FOLDER=WEIGHT")
    total = sum(weight for _, weight in parts)
    if not math.isclose(total, 1, abs_tol=1e-6):
        raise OptionError(f"the weights sum to {total:g}; they must sum to 1")
    if out.exists():
        raise OptionError(f"{out} exists; give a new folder")
    for folder, _ in parts:
        _check(folder, parts[0][0])
    matrices = [load_file(folder / LORA) for folder, _ in parts]
    mean = {}
    for name, first in matrices[0].items():
        weighted = [weight * each[name].float() for each, (_, weight) in zip(matrices, parts, strict=True)]
        mean[name] = torch.stack(weighted).sum(0).to(first.dtype)
    with safe_open(parts[0][0] / LORA, "pt") as file:
        metadata = file.metadata()
    with disk_errors(out), new_folder(out) as unfinished:
        shutil.copytree(parts[0][0], unfinished, dirs_exist_ok=True)
        (unfinished / LORA).write_bytes(save(mean, metadata))


def _check(folder: Path, first: Path) -> None:
    """Raise ModelFolderError unless `folder` is like `first`, but for the numbers in its LoRA matrices."""
    for name in (PACKED, LORA):
        if not (folder / name).is_file():
            raise ModelFolderError(f"{folder} is no packed model with LoRA matrices: there is no {name}")
    if _described(folder) != _described(first):
        raise ModelFolderError(f"{folder} and {first} have different settings or sizes: compare their {PACKED}")
    for file in sorted(first.glob("*.safetensors")):
        other = folder / file.name
        same = other.is_file() and (file.name == LORA or other.read_bytes() == file.read_bytes())
        if not same:
            raise ModelFolderError(f"{folder} and {first} differ in {file.name}; only LoRA matrices can be averaged")


def _described(folder: Path) -> object:
    try:
        with safe_open(folder / LORA, "pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - no mapping
        return json.loads((folder / PACKED).read_text("utf-8")), shapes
    except (SafetensorError, ValueError, OSError) as error:
        raise ModelFolderError(f"{folder} cannot be read ({error}); pack or copy the model again") from error


def _part(text: str) -> Part:
    folder, _, weight = text.rpartition("=")
    try:
        return Path(folder or text), float(weight)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not FOLDER=WEIGHT, as in models/camml-mini=0.25") from None


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument(
        "models", nargs="+", type=_part, metavar="FOLDER=WEIGHT", help="packed models; weights sum to 1"
    )
    args = parser.parse_args()
    try:
        average(args.models, args.out)
    except CaMMLError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
