"""Going on from what an earlier LoRA run trained, packed or as the run left it, with the same matrices."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from camml import weights
from camml.errors import ModelFolderError, OptionError
from camml.model import CamMLForConditionalGeneration, lora, packed
from camml.model.folder import ADDED_FILE, PACKED, is_packed, load_part, read_file
from camml.training.arguments import ModelArguments

RUN_FILE = "adapter_model.safetensors"


def load_added(model: CamMLForConditionalGeneration, folder: Path) -> None:
    """Give a new model the projector and the perceivers that an earlier run trained.

    Raises:
      ModelFolderError: they do not fit, or `folder` holds nothing of the kind.
    """
    tensors = {_in_model(name, folder): tensor for name, tensor in read_file(_checked(folder) / ADDED_FILE)}
    load_part(model, lora.ADDED, tensors, folder / ADDED_FILE)


def load_matrices(wrapped: nn.Module, arguments: ModelArguments) -> None:
    """Give a model that PEFT wrapped the LoRA matrices that the run of --pretrain_lora trained.

    Raises:
      OptionError: they have another rank or another scale than the new run's, or there are biases.
      ModelFolderError: they do not fit otherwise, or cannot be read.
    """
    folder, matrices = _fitting(arguments)
    own = {
        name.removeprefix("base_model.model.").replace(".default.weight", ""): parameter
        for name, parameter in wrapped.named_parameters()
        if ".lora_" in name
    }
    wrong = [name for name in own if name not in matrices or matrices[name].shape != own[name].shape]
    if wrong or matrices.keys() - own.keys():
        example = next(iter(wrong or sorted(matrices.keys() - own.keys())))
        raise ModelFolderError(f"{folder} was trained on another language model: {example} does not fit")
    for name, parameter in own.items():
        parameter.data.copy_(matrices[name])


def check(arguments: ModelArguments) -> str:
    """Return what the run of --pretrain_lora left, in words; no model is loaded for it.

    Raises:
      OptionError: its matrices have another rank or another scale than the new run's, or there are biases.
      ModelFolderError: the folder is none of the kind, is not whole, or cannot be read.
    """
    folder, matrices = _fitting(arguments)
    if not (folder / ADDED_FILE).is_file():
        raise ModelFolderError(
            f"{folder} has no {ADDED_FILE} (projector and perceivers); copy or download the folder again"
        )
    return f"{folder}, {len(matrices)} LoRA matrices of rank {arguments.lora_r}, projector and perceivers"


def _fitting(arguments: ModelArguments) -> tuple[Path, Mapping[str, Tensor]]:
    """Return the folder of --pretrain_lora and its matrices, which have the rank and the scale of the new run's."""
    assert arguments.pretrain_lora is not None
    folder = weights.folder(arguments.pretrain_lora)
    matrices = _matrices(_checked(folder))
    if any(".lora_" not in name for name in matrices):
        raise OptionError(f"{folder} trained biases too (--lora_bias), with which --pretrain_lora cannot go on")
    ranks = [matrix.shape[0] for name, matrix in matrices.items() if name.endswith(".lora_A")]
    if not ranks:
        raise ModelFolderError(f"{folder} holds no LoRA matrices; copy or download the folder again")
    rank, scale = ranks[0], _scale(folder)
    if rank != arguments.lora_r or abs(scale * rank - arguments.lora_alpha) > 1e-6:
        raise OptionError(
            f"--pretrain_lora {folder} was trained with --lora_r {rank} --lora_alpha {scale * rank:g}; give the same"
        )
    return folder, matrices


def _checked(folder: Path) -> Path:
    if not (is_packed(folder) or lora.is_run(folder)):
        raise ModelFolderError(
            f"--pretrain_lora {folder} is neither a packed model ({PACKED}) nor a LoRA run ({lora.ADAPTER}); "
            "to go on with a whole model give it as --model_name_or_path"
        )
    return folder


def _matrices(folder: Path) -> Mapping[str, Tensor]:
    """Return all LoRA matrices, by the names that they have in the model."""
    file = folder / (packed.LORA if is_packed(folder) else RUN_FILE)
    return {
        _in_model(name.removeprefix("base_model.model."), folder).removesuffix(".weight"): tensor
        for name, tensor in read_file(file)
    }


def _scale(folder: Path) -> float:
    """Return what the product of two matrices counts."""
    try:
        if is_packed(folder):
            return float(json.loads((folder / PACKED).read_text("utf-8"))["lora_scale"])
        adapter = json.loads((folder / lora.ADAPTER).read_text("utf-8"))
        return float(adapter["lora_alpha"]) / float(adapter["r"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(f"{folder} does not tell the scale of its LoRA matrices ({error!r})") from error


def _in_model(name: str, folder: Path) -> str:
    return packed.in_model(name) if is_packed(folder) else name
