"""The parts of a model: which of them a run trains, and how many numbers each has."""

from collections import Counter
from collections.abc import Iterator

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from camml.errors import OptionError
from camml.model import CamMLForConditionalGeneration, LlavaPartsForConditionalGeneration
from camml.model.card import number_of
from camml.model.lora import added
from camml.training.arguments import ModelArguments


def freeze(model: CamMLForConditionalGeneration, arguments: ModelArguments) -> nn.Module:
    """Return the model with what `--tune` names trainable and all else frozen; with LoRA, wrapped by PEFT.

    Raises:
      OptionError: PEFT is needed and not installed.
    """
    model.requires_grad_(False)
    # what a tower's library names besides may not be in this tower, and FSDP asks for all that is named
    present = {type(module).__name__ for module in model.modules()}
    model._no_split_modules = sorted(present & set(model._no_split_modules or ()))  # type: ignore[misc]
    if arguments.tune in ("lora", "qlora"):
        return add_lora(model, arguments)
    if arguments.tune == "full":
        for part in language(model):
            part.requires_grad_(True)
    if isinstance(model.vlm, LlavaPartsForConditionalGeneration):
        model.vlm.projector.requires_grad_(True)
    if arguments.tune != "projector":
        model.context_perceiver.requires_grad_(True)
    return model


def language(model: CamMLForConditionalGeneration) -> list[nn.Module]:
    """Return the modules that are the language model: its layers with its words, and its head."""
    if isinstance(model.vlm, LlavaPartsForConditionalGeneration):
        return [model.vlm.language_model]
    head = model.get_output_embeddings()
    return [model.language_part, *([] if head is None else [head])]


def in_float32(model: nn.Module) -> None:
    """Cast what is trained to float32: half precision would swallow small steps."""
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()


def lora_targets(model: CamMLForConditionalGeneration) -> list[str]:
    """Return the names of all linear layers of the language model but its head, whatever its library calls them."""
    inside, head = {id(module) for module in model.language_part.modules()}, model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module) in inside and module is not head
    ]


def add_lora(model: CamMLForConditionalGeneration, arguments: ModelArguments) -> nn.Module:
    """Return the model with LoRA matrices in its language model; what CaMML adds is trained whole, or not at all.

    Raises:
      OptionError: PEFT is not installed, or there is no linear layer.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise OptionError(f"--tune {arguments.tune} needs the package peft: pip install 'camml[train]'") from error
    targets = lora_targets(model)
    if not targets:
        kind = model.config.get_text_config().model_type
        raise OptionError(f"--tune {arguments.tune} finds no linear layer in a {kind!r} language model")
    wrapped = get_peft_model(
        model,
        LoraConfig(
            r=arguments.lora_r,
            lora_alpha=arguments.lora_alpha,
            lora_dropout=arguments.lora_dropout,
            bias=arguments.lora_bias,
            target_modules=targets,
        ),
    )
    parameters = dict(wrapped.named_parameters())
    for name in added(parameters).values():
        parameters[name].requires_grad_(not arguments.lora_alone)
    return wrapped


def count_parameters(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Return how many parameters each part has, and how many of them are trained."""
    every, trained = Counter[str](), Counter[str]()
    for part, parameter in _by_part(model):
        count = number_of(parameter)
        every[part] += count
        trained[part] += count if parameter.requires_grad else 0
    return {part: (every[part], trained[part]) for part in sorted(every)}


def bare(model: nn.Module) -> CamMLForConditionalGeneration:
    """Return the CaMML model that PEFT, or what shards it, may have wrapped."""
    return next(module for module in model.modules() if isinstance(module, CamMLForConditionalGeneration))


def _by_part(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters of a model, each with the part it belongs to."""
    own = {id(parameter) for part in language(bare(model)) for parameter in part.parameters()}
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            part = "lora"
        elif id(parameter) in own:
            part = "language_model"
        elif added([name]):
            part = "context_perceiver" if "context_perceiver." in name else "projector"
        else:
            part = "vision_tower"  # with what brings its features to the language model, where that is the model's own
        yield part, parameter
