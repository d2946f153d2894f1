"""The model of a run: loaded or assembled, with the right parts frozen."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from camml import weights
from camml.errors import OptionError
from camml.model import CamMLConfig, CamMLForConditionalGeneration, CamMLProcessor, official
from camml.model.folder import check_folder, is_packed, load_part, read_tensors
from camml.model.parts import assemble, projector_type, read_image_processor, read_projector
from camml.training.arguments import ModelArguments, RunArguments

LORA_PATTERN = r"language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj|fc1|fc2|dense)"
"""The linear layers of the language model, by the names that Llama, Qwen, Mistral, SmolLM and Phi give them."""

BETWEEN = ("projector", "context_perceiver")
"""What CaMML adds between the two pretrained parts."""


def build(
    arguments: ModelArguments, *, dtype: torch.dtype = torch.float32
) -> tuple[CamMLForConditionalGeneration, CamMLProcessor]:
    """The model a run starts from, and its processor.

    Args:
      dtype: of the language model and the tower; what is trained is float32 wherever half precision is frozen.

    Raises:
      ModelFolderError: a folder does not hold what it should.
      OptionError: the flags do not say what to build.
    """
    folder = weights.folder(arguments.model_name_or_path)
    kind = str(check_folder(folder).get("model_type"))
    if kind.lower() == "camml":
        _check_whole(folder)
        if arguments.tune == "qlora":
            raise OptionError("--tune qlora starts from a language model and a --vision_tower, not from a CaMML model")
        options = {"prompt_style": arguments.prompt_style} if arguments.prompt_style else {}
        model = CamMLForConditionalGeneration.from_pretrained(folder, dtype=dtype)
        return model, CamMLProcessor.from_pretrained(folder, **options)
    if not arguments.vision_tower:
        raise OptionError(f"--vision_tower is missing: {folder} holds a {kind!r} language model, which sees nothing")
    model, processor = assemble(
        folder,
        weights.folder(arguments.vision_tower),
        projector=_optional(arguments.pretrain_mm_mlp_adapter),
        perceivers=_optional(arguments.pretrain_perceivers),
        copied=(arguments.perceiver_copied or ()) if arguments.perceiver_init == "copy" else None,
        prompt_style=arguments.prompt_style,
        dtype=dtype,
        language_options=_language_options(arguments, dtype),
        **sizes(arguments),
    )
    processor.image_aspect_ratio = arguments.image_aspect_ratio
    return model, processor


def load_tower(arguments: ModelArguments, run: RunArguments, config: CamMLConfig) -> PreTrainedModel:
    """The vision tower of `build` in one piece, though DeepSpeed takes models apart as they are loaded."""
    from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config

    unset_hf_deepspeed_config()
    try:
        folder = weights.folder(arguments.model_name_or_path)
        dtype = base_dtype(arguments, run)
        if str(check_folder(folder).get("model_type")).lower() != "camml":
            whole = AutoModel.from_pretrained(weights.folder(str(arguments.vision_tower)), dtype=dtype)
            return getattr(whole, "vision_model", whole)
        found = (
            official.split_tensors(folder)[1]
            if official.is_official(folder)
            else {
                name.removeprefix("vision_tower."): tensor
                for name, tensor in read_tensors(folder)
                if name.startswith("vision_tower.")
            }
        )
        tower = AutoModel.from_config(config.vision_config)
        load_part(tower, ("",), found, folder)
        return tower.to(dtype)
    finally:
        set_hf_deepspeed_config(run.hf_deepspeed_config)


def sketch(arguments: ModelArguments) -> tuple[CamMLForConditionalGeneration, CamMLProcessor]:
    """The model of `build` without any weights, at no cost of memory, and its processor.

    Raises:
      ModelFolderError, OptionError: as `build`.
    """
    folder = weights.folder(arguments.model_name_or_path)
    kind = str(check_folder(folder).get("model_type"))
    if kind.lower() == "camml":
        _check_whole(folder)
        options = {"prompt_style": arguments.prompt_style} if arguments.prompt_style else {}
        processor = CamMLProcessor.from_pretrained(folder, **options)
        whole = official.config_of(folder) if official.is_official(folder) else CamMLConfig.from_pretrained(folder)
    else:
        if not arguments.vision_tower:
            raise OptionError(
                f"--vision_tower is missing: {folder} holds a {kind!r} language model, which sees nothing"
            )
        tower = weights.folder(arguments.vision_tower)
        check_folder(tower)
        chosen = sizes(arguments)
        if arguments.pretrain_mm_mlp_adapter:
            chosen["projector_type"] = projector_type(read_projector(Path(arguments.pretrain_mm_mlp_adapter)))
        configs = {
            "vision_config": AutoConfig.from_pretrained(tower),
            "text_config": AutoConfig.from_pretrained(folder),
        }
        images, chosen["image_size"] = read_image_processor(tower, configs["vision_config"], chosen["image_size"])
        whole = CamMLConfig(**configs, **chosen)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        style = arguments.prompt_style or ("chat" if tokenizer.chat_template else "official")
        processor = CamMLProcessor.build(whole, images, tokenizer, prompt_style=style)
        processor.image_aspect_ratio = arguments.image_aspect_ratio
    with torch.device("meta"):
        return CamMLForConditionalGeneration(whole), processor


def _check_whole(folder: Path) -> None:
    if is_packed(folder):
        raise OptionError(f"{folder} is packed; make a model folder of it with `camml merge {folder} OUT`")


def sizes(arguments: ModelArguments) -> dict[str, Any]:
    """The fields of `CamMLConfig` that the flags set."""
    return {
        "image_size": arguments.image_size,
        "image_pooling": arguments.image_pooling,
        "vision_feature_layer": arguments.mm_vision_select_layer,
        "vision_feature_select": "patch" if arguments.mm_vision_select_feature == "patch" else "all",
        "projector_type": arguments.mm_projector_type,
        "perceiver_hidden_size": arguments.perceiver_hidden_size,
        "perceiver_queries": arguments.perceiver_querys,
        "perceiver_layers": arguments.perceiver_layers,
        "perceiver_heads": arguments.perceiver_heads,
        "perceiver_intermediate_size": arguments.perceiver_intermediate_size,
        "perceiver_dropout": arguments.perceiver_dropout,
        "perceiver_positions": arguments.perceiver_positions,
        "perceiver_run_on": arguments.perceiver_run_on,
        "sample_max_length": arguments.sample_max_length,
    }


def base_dtype(arguments: ModelArguments, run: RunArguments) -> torch.dtype:
    """In what precision the pretrained parts are loaded.

    What is trained needs float32, unless DeepSpeed keeps its own float32 copy. What is frozen takes the precision that
    the run computes in; FSDP wants one precision throughout.
    """
    half = torch.bfloat16 if run.bf16 else torch.float16 if run.fp16 else torch.float32
    trains_language = arguments.tune == "full"
    if run.deepspeed:
        return half
    return torch.float32 if trains_language or run.fsdp else half


def freeze(model: CamMLForConditionalGeneration, arguments: ModelArguments) -> nn.Module:
    """The model with what `--tune` names trainable and all else frozen; with LoRA, wrapped by PEFT."""
    model.requires_grad_(False)
    # what a tower's library names besides may not be in this tower, and FSDP asks for all that is named
    present = {type(module).__name__ for module in model.modules()}
    model._no_split_modules = sorted(present & set(model._no_split_modules or ()))  # type: ignore[misc]
    if arguments.tune in ("lora", "qlora"):
        return add_lora(model, arguments)
    if arguments.tune == "full":
        model.language_model.requires_grad_(True)
    model.projector.requires_grad_(True)
    if arguments.tune != "projector":
        model.context_perceiver.requires_grad_(True)
    return model


def in_float32(model: nn.Module) -> None:
    """Cast what is trained to float32: half precision would swallow small steps."""
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()


def add_lora(model: CamMLForConditionalGeneration, arguments: ModelArguments) -> nn.Module:
    """The model with LoRA matrices in its language model; projector and perceivers are trained whole.

    Raises:
      OptionError: PEFT is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise OptionError(f"--tune {arguments.tune} needs the package peft: pip install 'camml[train]'") from error
    config = LoraConfig(
        r=arguments.lora_r,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        bias=arguments.lora_bias,
        target_modules=LORA_PATTERN,
    )
    wrapped = get_peft_model(model, config)
    for part in (model.projector, model.context_perceiver):
        part.requires_grad_(True)
    return wrapped


def between(names: Iterable[str]) -> dict[str, str]:
    """Of the names of tensors those of projector and perceivers, each by the name it has in the bare model."""
    found = {name: re.search(rf"(?:^|\.)((?:{'|'.join(BETWEEN)})\..*)", name) for name in names}
    return {match[1]: name for name, match in found.items() if match}


def count_parameters(model: nn.Module) -> dict[str, tuple[int, int]]:
    """How many parameters each part has, and how many of them are trained."""
    every, trained = Counter[str](), Counter[str]()
    for name, parameter in model.named_parameters():
        part = next((p for p in ("lora", *BETWEEN, "vision_tower", "language_model") if p in name), "other")
        # a quantised weight packs several numbers into one, a sharded one shows none: ask for the true shape
        count = int(getattr(parameter, "ds_numel", 0) or parameter.numel())
        shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
        count = int(torch.Size(shape).numel()) if shape is not None else count
        every[part] += count
        trained[part] += count if parameter.requires_grad else 0
    return {part: (every[part], trained[part]) for part in sorted(every)}


def _optional(path: str | None) -> Path | None:
    return Path(path) if path else None


def _language_options(arguments: ModelArguments, dtype: torch.dtype) -> dict[str, Any]:
    """What a language model is loaded with besides: its attention, its quantisation.

    Raises:
      OptionError: bitsandbytes is not installed.
    """
    chosen = {"attn_implementation": arguments.attn_implementation} if arguments.attn_implementation else {}
    if arguments.tune != "qlora":
        return chosen
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise OptionError("--tune qlora needs the package bitsandbytes: pip install bitsandbytes") from error
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=arguments.bits == 4,
        load_in_8bit=arguments.bits == 8,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=arguments.double_quant,
        bnb_4bit_quant_type=arguments.quant_type,
    )
    return {**chosen, "quantization_config": config}
