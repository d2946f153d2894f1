"""LoRA runs: what was trained, in a folder beside the name of what it was trained on.

Such a folder holds the adapter as PEFT writes it, `between.safetensors` (what CaMML adds and was trained whole), the
processor, and `camml_base.json`, which says what the run started from.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from camml import weights
from camml.errors import ModelFolderError, UnknownNameError
from camml.model.config import CamMLConfig
from camml.model.folder import ADDED_FILE, load_part, read_file
from camml.model.modeling import CamMLForConditionalGeneration
from camml.model.parts import added_to, load_base
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
      A mapping from the name in the bare model to the name given.
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
    folder: Path, dtype: torch.dtype | None = None, **processor_options: Any
) -> tuple[CamMLForConditionalGeneration, CamMLProcessor]:
    """Return the model of a LoRA run, and its processor; each sum is made in float32, of weights as `dtype` has them.

    Args:
      dtype: of the weights, of which there is never a second copy; None for that of what the run started from.

    Raises:
      ModelFolderError: `folder` is no such folder, or what the run started from is gone.
    """
    if not is_run(folder):
        raise ModelFolderError(f"{folder} is not the folder of a LoRA run ({ADAPTER} and {BASE})")
    try:
        about, adapter = (json.loads((folder / name).read_text("utf-8")) for name in (BASE, ADAPTER))
        config = CamMLConfig(**about["config"])
        scale = float(adapter["lora_alpha"]) / float(adapter["r"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(f"{folder / BASE} or {ADAPTER} cannot be used ({error!r})") from error
    model = _started_from(bases(folder), config, dtype or "auto")
    load_part(model, ADDED, dict(read_file(folder / ADDED_FILE)), folder / ADDED_FILE)
    trained = {
        name.removeprefix("base_model.model.").replace(".base_layer.", ".").removesuffix(".weight"): tensor
        for name, tensor in read_file(folder / "adapter_model.safetensors")
    }
    add_products(model, trained, scale, folder)
    return model.eval(), CamMLProcessor.from_pretrained(folder, **processor_options)


@torch.no_grad()
def add_products(model: nn.Module, trained: Mapping[str, Tensor], scale: float, source: Path) -> None:
    """Add to the weights of a model what was trained beside them, one after the other; the sums are made in float32.

    Args:
      trained: `NAME.lora_A` float[r, in] and `NAME.lora_B` float[out, r] for a weight `NAME.weight`, and biases.
      scale: what their product counts.

    Raises:
      ModelFolderError: a matrix lacks its other half, or does not fit the model's weight.
    """
    own = dict(model.named_parameters())
    for name in sorted({key.rpartition(".lora_")[0] or key for key in trained}):
        if name in trained:
            if name not in own or own[name].shape != trained[name].shape:
                raise ModelFolderError(f"what {source} keeps of {name} does not fit the model it was trained on")
            own[name].copy_(trained[name])
            continue
        down, up, weight = trained.get(f"{name}.lora_A"), trained.get(f"{name}.lora_B"), own.get(f"{name}.weight")
        if down is not None and up is not None and weight is not None and isinstance(model.get_submodule(name), Conv1D):
            down, up = up.T, down.T  # its weights are float[in, out]
        if down is None or up is None or weight is None or weight.shape != (up.shape[0], down.shape[1]):
            raise ModelFolderError(f"what {source} keeps of {name} does not fit the model it was trained on")
        weight.copy_(weight.float() + scale * (up.float() @ down.float()))


def bases(folder: Path) -> dict[str, Path]:
    """Return the folders that the run in `folder` started from.

    Raises:
      ModelFolderError: one is gone, or the file that names them cannot be used.
    """
    try:
        named = {str(part): str(name) for part, name in json.loads((folder / BASE).read_text("utf-8"))["base"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFolderError(f"{folder / BASE} cannot be used ({error!r})") from error
    folders = {}
    for part, name in named.items():
        try:
            folders[part] = weights.folder(name)
        except UnknownNameError as error:
            raise ModelFolderError(
                f"{folder} was trained on {name!r}, which is not there; write into {folder / BASE} where it is now"
            ) from error
    return folders


def _started_from(
    base: Mapping[str, Path], config: CamMLConfig, dtype: torch.dtype | str
) -> CamMLForConditionalGeneration:
    """Return the model that a run started from, with perceivers whose weights are still to come."""
    if "camml" in base:
        model: CamMLForConditionalGeneration = CamMLForConditionalGeneration.from_pretrained(base["camml"], dtype=dtype)
        return model
    return added_to(load_base(base, config, dtype), config)
