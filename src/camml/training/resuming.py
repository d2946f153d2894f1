"""The check that a run that is resumed is the one that began, so that it goes on as if it had never stopped.

Not compared is what a checkpoint holds or replaces (--perceiver_init, --pretrain_lora, ...), and what may be changed on
purpose: the number of steps, learning rates, dropout, saving, logging, evaluation, devices, names of folders.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from camml import weights
from camml.data import origins
from camml.errors import OptionError
from camml.neighbors import MANIFEST
from camml.training import building, recipes
from camml.training.arguments import DataArguments, ModelArguments, Settings
from camml.training.results import RUN

ELSEWHERE, WITHOUT = "choose another --output_dir", "leave --resume_from_checkpoint out"
"""Remedy where a checkpoint is of another run."""

DECIDING = ("data", "neighbors", "seed", "step_rows", "tune")
"""Entries of a run's record that must be the same: the training set, its neighbors, the order, what is trained."""

ADAPTERS = ("lora", "qlora")
"""Values of --tune with which checkpoints hold what was trained beside the base, and not the base."""

LORA = ("lora_r", "lora_alpha", "lora_bias", "lora_alone", "bits", "double_quant", "quant_type")
"""Flags about LoRA and QLoRA that must be the same."""

PROMPT = ("prompt_style", "thinking")
"""Flags about the words that a model is asked in, which must be the same."""

SIZES = (
    "perceiver_hidden_size", "perceiver_querys", "perceiver_layers", "perceiver_heads", "perceiver_intermediate_size",
    "perceiver_positions", "perceiver_run_on", "perceiver_seamless", "grounded", "sample_max_length", "image_size",
    "image_pooling", "image_aspect_ratio", "mm_vision_select_layer", "mm_vision_select_feature", "mm_projector_type",
)  # fmt: skip
"""Flags about the parts of a new model that must be the same; a CaMML model that is trained further has its own."""

ROWS = ("icl_num", "random_shots_training", "group_by_modality_length")
"""Flags about the rows and their order that must be the same."""

FIRST, LAST = 1024, 65_536
"""Numbers of each tensor, and bytes at the end of each pickle, by which weights are told apart."""


def deciding(settings: Settings) -> dict[str, Any]:
    """Return what the record of a run that begins says of it, but for what the number of processes decides.

    Neighbors that are still to be computed are left out.

    Raises:
      ModelFolderError, OptionError: as `building.start_of`.
      SampleError: the training set cannot be read.
    """
    data = settings.data
    manifest = Path(data.neighbors) / MANIFEST if data.neighbors and data.icl_num else None
    neighbors = {"neighbors": origins.file_hash(manifest)} if manifest and manifest.is_file() else {}
    return {
        "settings": recipes.namespace(settings),
        "model": asdict(settings.model),
        "base": base_hashes(settings.model),
        "data": origins.file_hash(Path(data.data_path)),
        "seed": settings.run.seed,
        "tune": settings.model.tune,
        **(neighbors if manifest else {"neighbors": None}),
    }


def check_planned(settings: Settings, resume: Path) -> None:
    """Raise unless a run that would go on from a checkpoint is the one that began, as `check_same`.

    How many rows a step has is not compared: runs are planned on fewer processes than they have.

    Raises:
      OptionError: it is another run.
    """
    now = deciding(settings)
    check_same(now, settings.output, ELSEWHERE)
    check_same(now, resume.parent, WITHOUT)


def check_same(now: Mapping[str, Any], folder: Path, remedy: str) -> None:
    """Raise unless the run recorded in `folder` has the same deciding settings; what the record lacks is not compared.

    Args:
      now: the record of the run that begins.
      remedy: what else to do, for the message.

    Raises:
      OptionError: something that decides about a run is not as it was, or the record cannot be read.
    """
    file = folder / RUN
    if not file.is_file():
        return
    try:
        before = json.loads(file.read_bytes())
        change = _other_fact(_facts(before, now), _facts(now, now)) or _other_base(before, now)
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise OptionError(f"{file} cannot be used ({error!r}); bring it back, or {remedy}") from error
    if change:
        raise OptionError(
            f"{folder} holds a run {change}, which cannot be continued; give what it began with, or {remedy}"
        )


def _other_fact(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first fact that both tell and that is not as it was, in words; empty where there is none."""
    for name, value in now.items():
        if name in before and before[name] != value:
            shown = name if name.startswith("--") else name.replace("_", " ")
            return f"with another {shown} ({before[name]!r}, now {value!r})"
    return ""


def _facts(record: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides about a run, as far as a record tells it: entries by their names, flags as `--NAME`."""
    facts = {name: record[name] for name in DECIDING if name in record}
    names = [*PROMPT, *(LORA if now["tune"] in ADAPTERS else ()), *(() if "camml" in now["base"] else SIZES)]
    model, settings = record.get("model", {}), record.get("settings")
    facts |= {f"--{name}": model[name] for name in names if name in model}
    if settings is not None:  # which leaves out what has its default
        usual = {field.name: field.default for field in fields(DataArguments)}
        facts |= {f"--{name}": settings.get(name, usual[name]) for name in ROWS}
        facts |= {"--data_seed": settings.get("data_seed", record["seed"])} if "seed" in record else {}
    return facts


def _other_base(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return which part of what a run starts from is not as it was, in words; empty where none is."""
    parts = before.get("base", now["base"]).keys()
    if parts != now["base"].keys():
        return f"with another start ({', '.join(parts)}, now {', '.join(now['base'])})"
    for part, digest in now["base"].items():
        flag = "vision_tower" if part == "vision_tower" else "model_name_or_path"
        old, new = (record.get("model", {}).get(flag) for record in (before, now))
        if _hash_then(before, part, old) in (None, digest):
            continue
        if old == new and now["tune"] not in ADAPTERS:  # checkpoints hold all weights, which count instead
            continue
        if old == new:
            return f"that began with other weights in --{flag} ({old!r})"
        return f"with another --{flag} ({old!r}, now {new!r})"
    return ""


def _hash_then(before: Mapping[str, Any], part: str, name: str | None) -> str | None:
    """Return the hash of the weights of a part when a run began; None where it cannot be told any more."""
    if "base" in before:
        return str(before["base"][part])
    return sampled_hash(Path(name)) if name and Path(name).is_dir() else None  # earlier versions wrote names alone


def base_hashes(arguments: ModelArguments) -> dict[str, str]:
    """Return the hash of the weights of each part that a run starts from, as `sampled_hash` gives it.

    Raises:
      ModelFolderError, OptionError: as `building.start_of`.
    """
    return {part: sampled_hash(weights.folder(name)) for part, name in building.base_of(arguments).items()}


def sampled_hash(folder: Path) -> str:
    """Return a hash by which the weights of two model folders are told apart, in a moment even where they are large.

    It is of the first numbers of each tensor: training changes a tensor all over. Of a pickle it is of the end, where
    PyTorch writes the checksums of all tensors.
    """
    files = sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("."))
    whole = hashlib.sha256()
    if files:
        for piece in sorted(piece for file in files for piece in _beginnings(file)):
            whole.update(piece)
        return whole.hexdigest()
    for file in sorted(path for path in folder.glob("*.bin") if not path.name.startswith(".")):
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - LAST))
            whole.update(f"{file.stat().st_size}\0".encode() + opened.read())
    return whole.hexdigest()


def _beginnings(file: Path) -> Iterator[bytes]:
    """Yield name, shape and first numbers of each tensor of a safetensors file, as bytes."""
    with safe_open(file, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118 (not a mapping)
            piece = tensors.get_slice(name)
            shape = piece.get_shape()
            few = (*(slice(0, 1) for _ in shape[:-1]), slice(0, FIRST))
            values = piece[few] if shape else tensors.get_tensor(name)
            yield f"{name}\0{shape}\0".encode() + values.contiguous().flatten().view(torch.uint8).numpy().tobytes()
