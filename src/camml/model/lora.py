"""LoRA runs: what was trained, in a folder beside the name of what it was trained on.

Such a folder holds PEFT's adapter, `between.safetensors` (what CaMML adds and was trained whole), the processor, and
`camml_base.json`, which says what the run started from.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText

from camml import weights
from camml.errors import ModelFolderError, OptionError
from camml.model.config import CamMLConfig
from camml.model.folder import ADDED_FILE, read_file, set_precision
from camml.model.modeling import CamMLForConditionalGeneration
from camml.model.parts import load_parts
from camml.model.processor import CamMLProcessor

BASE, ADAPTER = "camml_base.json", "adapter_config.json"

ADDED = ("vlm.projector.", "context_perceiver.")
"""How the names of tensors begin that CaMML adds to a base model."""


def is_run(folder: Path) -> bool:
    """Return whether `folder` is that of a LoRA run."""
    return (folder / ADAPTER).is_file() and (folder / BASE).is_file()


def added(names: Iterable[str]) -> dict[str, str]:
    """Return the names of the tensors that CaMML adds to a base model.

    Args:
      names: of all tensors of a model, which PEFT may have wrapped.

    Returns:
      for the name in the bare model the one that was given.
    """
    places = {name: min((name.find(part) for part in ADDED if part in name), default=-1) for name in names}
    return {name[place:]: name for name, place in places.items() if place >= 0 and ".lora_" not in name}


def save(folder: Path, base: Mapping[str, str], config: CamMLConfig, tensors: Mapping[str, Tensor]) -> None:
    """Write what belongs beside an adapter.

    Args:
      base: what the run started from: `camml` or `vlm` with a folder or a name, or `language_model` and `vision_tower`.
      tensors: all of the model; those that CaMML adds are kept.
    """
    names = added(tensors)
    save_file(
        {ours: tensors[theirs].detach().cpu().contiguous() for ours, theirs in names.items()}, folder / ADDED_FILE
    )
    about = {"base": dict(base), "config": json.loads(config.to_json_string(use_diff=False))}
    (folder / BASE).write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    file = folder / ADAPTER
    if file.is_file():
        adapter = json.loads(file.read_text("utf-8"))
        adapter["base_model_name_or_path"] = next(iter(base.values()))
        file.write_text(json.dumps(adapter, indent=2, sort_keys=True) + "\n", "utf-8")


def load_added(model: nn.Module, folder: Path) -> None:
    """Put the tensors of `between.safetensors` into a model, which PEFT may have wrapped.

    Raises:
      ModelFolderError: they are not all there.
    """
    saved = dict(read_file(folder / ADDED_FILE))
    names = added(name for name, _ in model.named_parameters())
    if saved.keys() != names.keys():
        raise ModelFolderError(f"{folder / ADDED_FILE} does not fit the model the run started from")
    model.load_state_dict({names[ours]: tensor for ours, tensor in saved.items()}, strict=False)


def load(
    folder: Path, dtype: torch.dtype = torch.float32, **processor_options: Any
) -> tuple[CamMLForConditionalGeneration, CamMLProcessor]:
    """Return the model of a LoRA run, and its processor.

    The sums are made in float32, of the weights as they were before any quantisation.

    Raises:
      ModelFolderError: `folder` is no such folder, or what the run started from is gone.
      OptionError: PEFT is not installed.
    """
    model = apart(folder).merge_and_unload()
    set_precision(model, dtype)
    return model.eval(), CamMLProcessor.from_pretrained(folder, **processor_options)


def apart(folder: Path) -> Any:
    """Return the model of a LoRA run in float32 as PEFT has it, its matrices beside the weights they add to.

    Raises:
      ModelFolderError, OptionError: as `load`.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise OptionError(
            f"{folder} is a LoRA run, which needs the package peft: pip install 'camml[train]'"
        ) from error
    if not is_run(folder):
        raise ModelFolderError(f"{folder} is not the folder of a LoRA run ({ADAPTER} and {BASE})")
    try:
        about = json.loads((folder / BASE).read_text("utf-8"))
        base, config = dict(about["base"]), CamMLConfig(**about["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(f"{folder / BASE} cannot be used ({error!r})") from error
    wrapped = PeftModel.from_pretrained(_started_from(base, config), folder)
    load_added(wrapped, folder)
    return wrapped.eval()


def _started_from(base: Mapping[str, str], config: CamMLConfig) -> CamMLForConditionalGeneration:
    """Return the model that a run started from, in float32, with perceivers whose weights are still to come."""
    number = torch.float32
    if "camml" in base:
        model: CamMLForConditionalGeneration = CamMLForConditionalGeneration.from_pretrained(
            weights.folder(base["camml"]), dtype=number
        )
        return model
    if "vlm" in base:
        vlm = AutoModelForImageTextToText.from_pretrained(weights.folder(base["vlm"]), dtype=number)
        return CamMLForConditionalGeneration(config, vlm)
    language, tower = (weights.folder(base[part]) for part in ("language_model", "vision_tower"))
    return CamMLForConditionalGeneration(config, load_parts(config.vlm_config, language, tower, number))
