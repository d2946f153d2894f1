"""A new CaMML model from pretrained parts: what training starts from."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.image_processing_utils import BaseImageProcessor
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from camml.errors import ModelFolderError, OptionError
from camml.model.config import CamMLConfig
from camml.model.folder import check_folder, load_part, read_file
from camml.model.llava_parts import LlavaPartsConfig, LlavaPartsForConditionalGeneration
from camml.model.llava_processor import LlavaPartsProcessor
from camml.model.modeling import CamMLForConditionalGeneration
from camml.model.processor import CamMLProcessor

Start = Callable[[CamMLForConditionalGeneration], object]


def assemble(
    language_model: Path,
    vision_tower: Path,
    *,
    projector: Path | None = None,
    dtype: Any = "auto",
    start: Start = lambda model: None,
    **described: Any,
) -> tuple[CamMLForConditionalGeneration, CamMLProcessor]:
    """Return a new model, and its processor, from a language model and a vision tower.

    Args:
      projector, described: as in `describe`, without a projector one of random weights.
      dtype: of the weights; "auto" for that of the language model.
      start: as in `added_to`.

    Raises:
      ModelFolderError: a folder or file does not hold what it should.
      OptionError: a size is invalid.
    """
    base = {"language_model": language_model, "vision_tower": vision_tower}
    config, processor = describe(language_model, vision_tower, projector=projector, **described)
    return added_to(load_base(base, config, dtype), config, projector, start), processor


def load_base(base: Mapping[str, Path], config: CamMLConfig, dtype: Any, **options: Any) -> PreTrainedModel:
    """Return the vision-language model that perceivers are added to.

    Args:
      base: the folder of a `vlm`, or those of a `language_model` and a `vision_tower`, which get a new projector.
      options: what else the vision-language model or the language model is loaded with.
    """
    vlm: PreTrainedModel
    if "vlm" in base:
        vlm = AutoModelForImageTextToText.from_pretrained(base["vlm"], dtype=dtype, **options)
        return vlm
    language = AutoModelForCausalLM.from_pretrained(base["language_model"], dtype=dtype, **options)
    parts = config.vlm_config
    return LlavaPartsForConditionalGeneration(
        parts, load_tower(base["vision_tower"], parts.vision_config, language.dtype), language
    )


def added_to(
    vlm: PreTrainedModel, config: CamMLConfig, projector: Path | None = None, start: Start = lambda model: None
) -> CamMLForConditionalGeneration:
    """Return a vision-language model with new perceivers, in the precision that it embeds words in.

    Args:
      projector: an `mm_projector.bin` to put into a model of parts.
      start: called with the model while what is new has random weights in float32.
    """
    model = CamMLForConditionalGeneration(config, vlm)
    start(model)
    if projector:
        load_part(model, ("vlm.projector.",), read_projector(projector), projector)
    dtype = model.get_input_embeddings().weight.dtype
    model.context_perceiver.to(dtype)
    if isinstance(vlm, LlavaPartsForConditionalGeneration):
        vlm.projector.to(dtype)
    return model


def describe(
    language_model: Path,
    vision_tower: Path,
    *,
    projector: Path | None = None,
    prompt_style: str | None = None,
    image_aspect_ratio: str = "pad",
    **sizes: Any,
) -> tuple[CamMLConfig, CamMLProcessor]:
    """Return the configuration and the processor of `assemble`, without any weights.

    Args:
      language_model, vision_tower: model folders (of a dual encoder the image half is taken).
      projector: an `mm_projector.bin`, which says the projector's type.
      prompt_style: None for the chat template of the tokenizer, or Vicuna's wording where it has none.
      sizes: other fields of `LlavaPartsConfig` and `CamMLConfig`.

    Raises:
      ModelFolderError: a folder or file does not hold what it should.
      OptionError: the language model sees already, the tower is none, or a size is invalid.
    """
    if projector:
        sizes["projector_type"] = projector_type(read_projector(projector))
    for folder in (language_model, vision_tower):
        check_folder(folder)
    text_config, vision_config = AutoConfig.from_pretrained(language_model), AutoConfig.from_pretrained(vision_tower)
    if text_config.get_text_config() is not text_config:
        raise OptionError(
            f"{language_model} holds a {text_config.model_type!r} model, which sees already: leave --vision_tower out"
        )
    if not hasattr(getattr(vision_config, "vision_config", vision_config), "patch_size"):
        raise OptionError(
            f"{vision_tower} holds a {vision_config.model_type!r} model, not a vision tower; "
            "give a CLIP, SigLIP or DINOv2"
        )
    image_processor, sizes["image_size"] = read_image_processor(vision_tower, vision_config, sizes.get("image_size"))
    config = config_of_parts(vision_config, text_config, **sizes)
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    style = prompt_style or ("chat" if tokenizer.chat_template else "official")
    return config, processor_of_parts(config, image_processor, tokenizer, image_aspect_ratio, prompt_style=style)


def config_of_parts(vision_config: Any, text_config: Any, **sizes: Any) -> CamMLConfig:
    """Return the configuration of a model out of a vision tower and a language model.

    Args:
      sizes: other fields of `LlavaPartsConfig` and `CamMLConfig`; one that both have is set in both.
    """
    fields = LlavaPartsConfig.__dataclass_fields__, CamMLConfig.__dataclass_fields__
    seeing = {name: value for name, value in sizes.items() if name in fields[0]}
    own = {name: value for name, value in sizes.items() if name not in fields[0] or name in fields[1]}
    return CamMLConfig(
        vlm_config=LlavaPartsConfig(vision_config=vision_config, text_config=text_config, **seeing), **own
    )


def processor_of_parts(
    config: CamMLConfig,
    image_processor: BaseImageProcessor,
    tokenizer: PreTrainedTokenizerBase,
    image_aspect_ratio: str = "pad",
    **options: Any,
) -> CamMLProcessor:
    """Return the processor that fits a model of `config_of_parts`; `options` are those of `CamMLProcessor`."""
    seeing = config.vlm_config
    inner = LlavaPartsProcessor(
        image_processor, tokenizer, seeing.image_tokens, seeing.image_token_id, image_aspect_ratio
    )
    return CamMLProcessor.build(config, inner, **options)


def load_tower(folder: Path, config: Any, dtype: Any) -> PreTrainedModel:
    """Return a vision tower; of a dual encoder the image half, without building the rest.

    Args:
      config: of the tower alone, as `LlavaPartsConfig.vision_config`.
    """
    tower: PreTrainedModel = MODEL_MAPPING[type(config)].from_pretrained(folder, config=config, dtype=dtype)
    return tower


def read_image_processor(folder: Path, vision_config: Any, side: int | None) -> tuple[BaseImageProcessor, int]:
    """Return the image processor of a tower, and the side in pixels of the images it gives: `side`, or its own.

    Raises:
      OptionError: `side` is not a number of whole patches.
    """
    images = AutoImageProcessor.from_pretrained(folder)
    cropped = bool(getattr(images, "do_center_crop", False))
    if side is None:
        own = images.crop_size if cropped else images.size
        return images, int(own["height"] or own["shortest_edge"])
    patch = getattr(vision_config, "vision_config", vision_config).patch_size
    if side < patch or side % patch:
        raise OptionError(f"--image_size is {side}; give a multiple of {patch}, the side of a patch of {folder}")
    if cropped:  # at the size of the crop, so that nothing of a square is cut away
        images.size, images.crop_size = {"shortest_edge": side}, {"height": side, "width": side}
    else:
        images.size = {"height": side, "width": side}
    return images, side


def read_projector(file: Path) -> dict[str, Tensor]:
    """Return the tensors of an `mm_projector.bin` by our names.

    Raises:
      ModelFolderError: it holds something else.
    """
    if not file.is_file():
        raise ModelFolderError(f"no projector file {file}")
    tensors = {}
    for name, tensor in read_file(file):
        _, separator, rest = name.rpartition("mm_projector.")
        if not separator:
            raise ModelFolderError(f"{file} holds {name!r}, which is not part of a projector")
        tensors[f"vlm.projector.{rest}"] = tensor
    return tensors


def projector_type(weights: dict[str, Tensor]) -> str:
    """Return the `projector_type` whose tensors these are."""
    steps = [int(match[1]) for name in weights if (match := re.fullmatch(r"vlm\.projector\.(\d+)\.weight", name))]
    return f"mlp{max(steps) // 2 + 1}x_gelu" if steps else "linear"
