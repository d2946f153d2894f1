"""The model a run starts from: a CaMML model, a vision-language model, or a language model with a vision tower."""

import logging
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.models.auto.processing_auto import AutoProcessor

from camml import weights
from camml.errors import ModelFolderError, OptionError, first_line
from camml.model import CamMLConfig, CamMLForConditionalGeneration, CamMLProcessor, LlavaPartsConfig, parts
from camml.model.config import image_token_id
from camml.model.folder import check_folder, is_packed
from camml.model.loading import kind_of
from camml.model.lora import is_run
from camml.training.arguments import ModelArguments, RunArguments
from camml.training.bert import start_from_bert
from camml.training.continuing import load_added
from camml.training.copying import start_copying

_logger = logging.getLogger("camml")

Start = Literal["camml", "vlm", "language_model"]

VISION_FLAGS = (
    "pretrain_mm_mlp_adapter", "mm_vision_select_layer", "mm_vision_select_feature", "mm_projector_type", "image_size",
    "image_pooling", "image_aspect_ratio",
)  # fmt: skip
"""Flags about a tower and a projector, which a vision-language model has of its own."""

TESTED_MODELS = (
    "llava", "llava_next", "llava_onevision", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "idefics3", "internvl",
    "gemma3", "paligemma", "mistral3", "aya_vision", "glm4v", "deepseek_vl",
)  # fmt: skip
"""Vision-language models in the table of docs/models.md; others may work too."""

BIDIRECTIONAL_MODELS = ("paligemma",)
"""Models in which a token of a row also sees those behind it, unless a row says where its one answer begins."""


def build(
    arguments: ModelArguments, *, dtype: torch.dtype = torch.float32
) -> tuple[CamMLForConditionalGeneration, CamMLProcessor]:
    """Return the model a run starts from, and its processor.

    Args:
      dtype: of the language model and the tower; what is trained is float32 wherever half precision is frozen.

    Raises:
      ModelFolderError: a folder does not hold what it should.
      OptionError: the flags do not say what to build.
    """
    base, config, processor = _describe(arguments)
    if "camml" in base:
        return _load_whole(arguments, base["camml"], dtype), processor
    kind = config.vlm_config.model_type
    if "vlm" in base and kind not in TESTED_MODELS:
        _logger.warning(
            "a %r model is none of those that CaMML was checked with (docs/models.md): try a few steps first", kind
        )
    options = _loading_options(arguments, config, dtype)
    vlm = parts.load_base(base, config, dtype, **options)
    model = parts.added_to(vlm, config, _projector(arguments), partial(_start_perceivers, arguments))
    if arguments.pretrain_lora:
        load_added(model, weights.folder(arguments.pretrain_lora))
    return model, processor


def _load_whole(arguments: ModelArguments, folder: Path, dtype: torch.dtype) -> CamMLForConditionalGeneration:
    """Return the model in a CaMML folder, whose language model has the attention that the flags ask for.

    Raises:
      OptionError: it cannot have that one.
    """
    model: CamMLForConditionalGeneration = CamMLForConditionalGeneration.from_pretrained(folder, dtype=dtype)
    if chosen := arguments.attn_implementation:
        language: Any = model.language_part
        try:
            language.set_attn_implementation(chosen)
        except (ImportError, ValueError) as error:
            reason = first_line(error)
            raise OptionError(f"--attn_implementation {chosen} cannot be used: {reason}; leave it out") from None
    return model


def sketch(arguments: ModelArguments) -> tuple[CamMLForConditionalGeneration, CamMLProcessor]:
    """Return the model of `build` without any weights, at no cost of memory, and its processor.

    Raises:
      ModelFolderError, OptionError: as `build`.
    """
    _, config, processor = _describe(arguments)
    with torch.device("meta"):
        return CamMLForConditionalGeneration(config), processor


def _describe(arguments: ModelArguments) -> tuple[Mapping[str, Path], CamMLConfig, CamMLProcessor]:
    """Return the folders that a run starts from, and the configuration and the processor of its model.

    Raises:
      ModelFolderError, OptionError: as `build`.
    """
    base = {part: weights.folder(name) for part, name in _names(arguments).items()}
    if "camml" in base:
        if arguments.pretrain_lora:
            raise OptionError(
                "--pretrain_lora goes on from what was trained beside a language model; a CaMML model holds all it "
                "learned: leave --pretrain_lora out"
            )
        if arguments.tune == "qlora":
            raise OptionError(
                "--tune qlora starts from a vision-language model, or a language model and a --vision_tower, not from "
                "a CaMML model"
            )
        spoken: dict[str, Any] = {"prompt_style": arguments.prompt_style} if arguments.prompt_style else {}
        spoken |= {"thinking": True} if arguments.thinking else {}
        folder = base["camml"]
        config = CamMLConfig.from_pretrained(folder)
        if not isinstance(config.vlm_config, LlavaPartsConfig):
            _check_projector(arguments, folder, config.vlm_config.model_type)
        return base, config, CamMLProcessor.from_pretrained(folder, **spoken)
    if "vlm" in base:
        return base, *_describe_on_vlm(arguments, base["vlm"])
    config, processor = parts.describe(
        base["language_model"],
        base["vision_tower"],
        projector=_projector(arguments),
        prompt_style=arguments.prompt_style,
        image_aspect_ratio=arguments.image_aspect_ratio,
        **sizes(arguments),
    )
    processor.thinking = arguments.thinking
    return base, config, processor


def _start_perceivers(arguments: ModelArguments, model: CamMLForConditionalGeneration) -> None:
    """Give new perceivers the weights that the flags ask for."""
    if arguments.perceiver_init == "copy":
        start_copying(model, arguments.perceiver_copied or ())
    if arguments.pretrain_perceivers:
        start_from_bert(model, Path(arguments.pretrain_perceivers))


def start_of(arguments: ModelArguments) -> Start:
    """Return what a run starts from, as far as its folders and flags say.

    Raises:
      ModelFolderError: there is no such model.
      OptionError: the flags do not fit it.
    """
    folder = weights.folder(arguments.model_name_or_path)
    if is_packed(folder) or is_run(folder):
        reason = "is packed" if is_packed(folder) else "is a LoRA run"
        raise OptionError(f"{folder} {reason}; make a model folder of it with `camml merge {folder} OUT`")
    kind, type_ = kind_of(folder), str(check_folder(folder).get("model_type"))
    if kind == "camml":
        return "camml"
    if kind == "language" and type_ not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise OptionError(
            f"{folder} holds a {type_!r} model, which gives no text; --model_name_or_path is a language model, a "
            "vision-language model or a CaMML model"
        )
    if kind == "language" and not arguments.vision_tower:
        raise OptionError(f"--vision_tower is missing: {folder} holds a {type_!r} language model, which sees nothing")
    if kind == "language":
        _check_tower(weights.folder(str(arguments.vision_tower)))
        return "language_model"
    own = {field.name: field.default for field in fields(ModelArguments)}
    given = [name for name in ("vision_tower", *VISION_FLAGS) if getattr(arguments, name) != own[name]]
    if given:
        raise OptionError(f"{folder} holds a {type_!r} model, which sees already: leave --{given[0]} out")
    _check_projector(arguments, folder, type_)
    return "vlm"


def _check_projector(arguments: ModelArguments, folder: Path, type_: str) -> None:
    """Raise an OptionError if the projector alone is to be trained, of a vision-language model of type `type_`."""
    if arguments.tune == "projector":
        raise OptionError(
            f"--tune projector trains what lies between a language model and a --vision_tower; {folder} holds a "
            f"{type_!r} model, of which that is part: --tune perceiver trains what CaMML adds to it"
        )


def _check_tower(folder: Path) -> None:
    """Raise an OptionError if a folder that is to be a vision tower holds a vision-language model."""
    type_ = str(check_folder(folder).get("model_type"))
    if kind_of(folder) != "language":
        raise OptionError(
            f"--vision_tower {folder} holds a {type_!r} model, which has a tower and a language model: give that "
            "folder as --model_name_or_path and leave --vision_tower out, or give a CLIP, SigLIP or DINOv2"
        )


def base_of(arguments: ModelArguments) -> dict[str, str]:
    """Return where the weights are that a run starts from, so that they are found from any folder."""
    names = _names(arguments)
    return {part: str(Path(name).resolve()) if Path(name).exists() else name for part, name in names.items()}


def _names(arguments: ModelArguments) -> dict[str, str]:
    """Return the names or folders of what a run starts from: of a language model, its vision tower too."""
    start = start_of(arguments)
    tower = {"vision_tower": str(arguments.vision_tower)} if start == "language_model" else {}
    return {start: arguments.model_name_or_path, **tower}


def _describe_on_vlm(arguments: ModelArguments, folder: Path) -> tuple[CamMLConfig, CamMLProcessor]:
    """Return the configuration and the processor of a vision-language model with perceivers.

    Raises:
      ModelFolderError: its files are not those of such a model.
      OptionError: it cannot be added to.
    """
    try:
        vlm_config, inner = AutoConfig.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    except (OSError, KeyError, ValueError) as error:
        reason = first_line(error)
        raise ModelFolderError(f"{folder} cannot be read as a vision-language model: {reason}") from None
    image_token_id(vlm_config)  # says so if there is none
    if vlm_config.model_type in BIDIRECTIONAL_MODELS:
        raise OptionError(
            f"a {vlm_config.model_type!r} model reads a row in both directions, and would see the answers it is to "
            "learn: it cannot be trained on conversations; take another one"
        )
    if not hasattr(inner, "tokenizer"):
        raise ModelFolderError(f"{folder} has no processor with an image processor and a tokenizer; fetch it again")
    own = {name: value for name, value in sizes(arguments).items() if name not in LlavaPartsConfig.__dataclass_fields__}
    config = CamMLConfig(vlm_config=vlm_config, context_token_id=len(inner.tokenizer), **own)
    style = arguments.prompt_style or "chat"
    return config, CamMLProcessor.build(config, inner, prompt_style=style, thinking=arguments.thinking)


def _outside_language(config: CamMLConfig) -> list[str]:
    """Return the names in the vision-language model of all linear layers that are not its language model's layers."""
    with torch.device("meta"):
        model = CamMLForConditionalGeneration(config)
    inside = {id(part) for part in model.language_part.modules()} - {id(model.get_output_embeddings())}
    return [name for name, part in model.vlm.named_modules() if isinstance(part, nn.Linear) and id(part) not in inside]


def sizes(arguments: ModelArguments) -> dict[str, Any]:
    """Return the fields of `LlavaPartsConfig` and `CamMLConfig` that the flags set."""
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
        "perceiver_seamless": arguments.perceiver_seamless,
        "grounded": arguments.grounded,
        "sample_max_length": arguments.sample_max_length,
    }


def base_dtype(arguments: ModelArguments, run: RunArguments) -> torch.dtype:
    """Return in what precision the pretrained parts are loaded.

    What is trained needs float32, unless DeepSpeed keeps its own float32 copy. What is frozen takes the precision that
    the run computes in; FSDP wants one precision throughout.
    """
    half = torch.bfloat16 if run.bf16 else torch.float16 if run.fp16 else torch.float32
    trains_language = arguments.tune == "full"
    if run.deepspeed:
        return half
    return torch.float32 if trains_language or run.fsdp else half


def _projector(arguments: ModelArguments) -> Path | None:
    """Return the file of a projector that is trained already."""
    return Path(arguments.pretrain_mm_mlp_adapter) if arguments.pretrain_mm_mlp_adapter else None


def _loading_options(arguments: ModelArguments, config: CamMLConfig, dtype: torch.dtype) -> dict[str, Any]:
    """Return what a pretrained model is loaded with besides: its attention, its quantisation.

    Raises:
      OptionError: bitsandbytes is not installed.
    """
    chosen: dict[str, Any] = (
        {"attn_implementation": arguments.attn_implementation} if arguments.attn_implementation else {}
    )
    if arguments.tune != "qlora":
        return chosen
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise OptionError("--tune qlora needs the package bitsandbytes: pip install bitsandbytes") from error
    from transformers import BitsAndBytesConfig

    quantised = BitsAndBytesConfig(
        load_in_4bit=arguments.bits == 4,
        load_in_8bit=arguments.bits == 8,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=arguments.double_quant,
        bnb_4bit_quant_type=arguments.quant_type,
    )
    if not isinstance(config.vlm_config, LlavaPartsConfig):  # of which the language model is loaded by itself
        quantised.llm_int8_skip_modules = _outside_language(config)
    return {**chosen, "quantization_config": quantised}
