"""The checks before hours of work: this machine, the folders, the data. Of models only descriptions are read."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from camml import weights
from camml.data.examples import TrainingRows
from camml.errors import InputError, ModelFolderError, OptionError
from camml.model import CamMLProcessor
from camml.model.folder import check_folder
from camml.model.parts import read_projector
from camml.neighbors import MANIFEST, check_place
from camml.training import building, continuing, dry_run, evaluating, machine, rows
from camml.training.arguments import DataArguments, ModelArguments, RunArguments, Settings

POINTER = b"version https://git-lfs"
"""How a file begins that Git left on the server."""

WHOLE = ("model.safetensors", "pytorch_model.bin")
"""Names of weights in one file, in the order in which transformers looks for them, each before an index of several."""


def report(settings: Settings) -> str:
    """Return what was found, a line each; the neighbors may be missing yet.

    Raises:
      CaMMLError: the first thing that a run would stop at, in the order in which it is cheap to find.
    """
    lines = [f"machine: {machine.check_devices()}", f"precision: {_precision(settings)}"]
    check_packages(settings)
    lines += check_folders(settings.model)
    dry_run.check_resume(settings)
    model, processor = building.sketch(settings.model)
    training_rows, findings = _check_data("data", settings.data, settings.run, processor)
    rows.check_full(training_rows, settings.run, settings.run.per_device_train_batch_size)
    lines += findings
    if held_out := evaluating.as_training_set(settings.data):
        lines += _check_data("held-out data", held_out, settings.run, processor)[1]
    return "\n".join([*lines, *dry_run.memory_lines(settings, model, training_rows)])


def _check_data(
    name: str, data: DataArguments, run: RunArguments, processor: CamMLProcessor
) -> tuple[TrainingRows, list[str]]:
    """Return the rows of a set of data, and what was found, a line each.

    Raises:
      CaMMLError: something in it that a run would stop at.
    """
    skipped: list[InputError] = []
    later = _neighbors_later(data)
    dataset = rows.read(
        replace(data, icl_num=0, neighbors=None) if later else data,
        processor,
        max_length=run.model_max_length,
        seed=run.seed,
        report=skipped.append,
    )
    pictures = sum(row.image is not None for row in dataset.conversations)
    state = "none yet" if later else "not used" if not data.icl_num else "there, with their pictures"
    return dataset, [
        f"{name}: {len(dataset)} samples in {data.data_path}, {pictures} with an image (all found)",
        *(f"skipped: {error}" for error in skipped),
        f"neighbors: {state}" + (f" ({data.neighbors})" if data.neighbors else ""),
    ]


def _neighbors_later(data: DataArguments) -> bool:
    """Return True where the neighbors are to be computed after these checks.

    Raises:
      OptionError: something else is where they are to be.
    """
    if not data.icl_num or not data.neighbors:
        return False
    folder = Path(data.neighbors)
    if (folder / MANIFEST).is_file():
        return False
    check_place(folder)
    return True


def _precision(settings: Settings) -> str:
    run = settings.run
    name = "float16" if run.fp16 else "bfloat16" if run.bf16 else "float32"
    emulated = run.bf16 and not machine.has_accelerator() and not machine.has_fast_bfloat16()
    return name + (": this processor emulates it, which takes longer than --bf16 False" if emulated else "")


def check_packages(settings: Settings) -> None:
    """Raise if a package is missing that a run asks for when it is under way.

    Raises:
      OptionError: one is; the message has the command that brings it.
    """
    tune = settings.model.tune
    needed = {"deepspeed": settings.run.deepspeed, "peft": "lora" in tune, "bitsandbytes": tune == "qlora"}
    extras = {"deepspeed": "train,train-deepspeed", "peft": "train", "bitsandbytes": "train,train-qlora"}
    for package, asked in needed.items():
        if asked and importlib.util.find_spec(package) is None:
            raise OptionError(f"the package {package} is missing: pip install 'camml[{extras[package]}]'")


def check_folders(model: ModelArguments) -> list[str]:
    """Return what a run starts from, a line each.

    Raises:
      ModelFolderError: a folder is missing or not whole, or the projector is of other models.
    """
    folder = weights.folder(model.model_name_or_path)
    lines = [f"model: {check_whole(folder)}"]
    if not model.vision_tower or str(check_folder(folder).get("model_type")).lower() == "camml":
        return lines  # a finished model has its own tower, projector and perceivers
    tower = weights.folder(model.vision_tower)
    lines.append(f"tower: {check_whole(tower)}")
    if model.pretrain_mm_mlp_adapter:
        lines.append(f"projector: {check_projector(Path(model.pretrain_mm_mlp_adapter), tower, folder)}")
    else:
        lines.append("projector: new, with random weights")
    start = f"blocks of {model.pretrain_perceivers}" if model.pretrain_perceivers else "random weights"
    start = "copies of words" if model.perceiver_init == "copy" else start
    if model.pretrain_lora:
        return [*lines[:-1], f"goes on from: {continuing.check(model)}"]
    lines.append(f"perceivers: {start}")
    return lines


def check_whole(folder: Path) -> str:
    """Return the files of weights of a model folder, in words.

    Raises:
      ModelFolderError: one is empty or a pointer of Git, or one that its index names is missing.
    """
    files: list[Path] = []
    names = [name for whole in WHOLE for name in (whole, f"{whole}.index.json") if (folder / name).is_file()]
    name = names[0] if names else ""
    index = folder / name
    if name in WHOLE:
        files = [index]
    elif name:
        try:
            pieces = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelFolderError(f"{index} is not an index of weights ({error!r}); fetch it again") from None
        files = [folder / piece for piece in sorted(pieces)]
    files = files or sorted([*folder.glob("model*.safetensors"), *folder.glob("pytorch_model*.bin")])
    for file in files:
        if not file.is_file():
            raise ModelFolderError(f"{file} is missing, which {name} names; fetch it again")
        with file.open("rb") as opened:
            begin = opened.read(len(POINTER))
        if not begin or begin == POINTER:
            reason = "is empty" if not begin else "is only a pointer of Git LFS (run `git lfs pull` there)"
            raise ModelFolderError(f"{file} {reason}; fetch the weights again")
    size = sum(file.stat().st_size for file in files) / 2**30
    return f"{folder}, {len(files)} file{'s' * (len(files) != 1)} of weights, {size:.2f} GB"


def check_projector(file: Path, tower: Path, language: Path) -> str:
    """Return what a projector is, in words.

    Raises:
      ModelFolderError: it does not lead from that tower to that language model.
    """
    matrices = [
        tensor for name, tensor in read_projector(file).items() if name.endswith("weight") and tensor.dim() == 2
    ]
    if not matrices:
        raise ModelFolderError(f"{file} holds no matrix of a projector")
    has, gives = matrices[0].shape[1], matrices[-1].shape[0]
    for name, folder, wanted, width in (
        ("takes", tower, _width(tower, "vision_config"), has),
        ("gives", language, _width(language, "text_config"), gives),
    ):
        if wanted != width:
            raise ModelFolderError(
                f"the projector {file} {name} {width} numbers, and {folder} has {wanted}; it is of another model"
            )
    return f"{file}, {has} to {gives}"


def _width(folder: Path, part: str) -> int:
    config: Any = AutoConfig.from_pretrained(folder)
    return int(getattr(config, part, config).hidden_size)
