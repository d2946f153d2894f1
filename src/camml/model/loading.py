"""One place that loads: whatever a folder or a name holds, a model and its processor."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from pickle import UnpicklingError
from tempfile import TemporaryDirectory
from typing import Any, Literal
from weakref import finalize

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.models.auto.processing_auto import AutoProcessor

from camml import weights
from camml.devices import choose_dtype
from camml.errors import ModelFolderError, OptionError, first_line
from camml.model import lora, official, packed
from camml.model.config import check_placeholders
from camml.model.folder import WEIGHT_FILES, check_folder, is_packed, new_folder
from camml.model.modeling import CamMLForConditionalGeneration
from camml.model.processor import CamMLProcessor
from camml.model.retrieval_settings import copy_settings

Kind = Literal["camml", "vision-language", "language"]
"""`camml` reads samples as context tokens; the other two read them in their prompt, with pictures or without."""


def kind_of(name: str | Path) -> Kind:
    """Return what kind of model a name or a folder holds, without loading it.

    Raises:
      ModelFolderError: it holds no model that answers.
    """
    folder = _folder(name)
    if _is_sum(folder):
        return "camml"
    if (folder / lora.ADAPTER).is_file() and not any(any(folder.glob(pattern)) for pattern in WEIGHT_FILES):
        raise ModelFolderError(
            f"{folder} is an adapter ({lora.ADAPTER}) without {lora.BASE}, which says what it was trained on; give the "
            "folder that `camml train` left, or the whole model, made with PEFT's merge_and_unload"
        )
    kind = str(check_folder(folder).get("model_type"))
    if kind.lower() == "camml":
        return "camml"
    return (
        "vision-language" if kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES or kind == "llava_parts" else "language"
    )


def _folder(name: str | Path) -> Path:
    """Return the folder of a model; a path is one already, and a name may have to be fetched."""
    return name if isinstance(name, Path) else weights.folder(name)


def _is_sum(folder: Path) -> bool:
    """Return whether a folder keeps only what was trained, to be added to a base model as it is loaded."""
    return is_packed(folder) or lora.is_run(folder)


def load_model(
    name: str | Path,
    *,
    dtype: torch.dtype | str | None = None,
    device_map: Any = None,
    quantization_config: Any = None,
    attn_implementation: str | None = None,
    **processor_options: Any,
) -> tuple[Any, Any]:
    """Return a model and its processor, ready to answer.

    Args:
      name: a hub name or a folder: a CaMML model (as saved, in the official layout, packed, or a LoRA run), or any
        vision-language or language model of transformers, of which the second value is the processor or the tokenizer.
      dtype: of the weights; "auto" or None for the one they are kept in (of a packed model float32).
      device_map, quantization_config, attn_implementation: as in transformers' `from_pretrained`. With them a packed
        model or a LoRA run is summed in memory and goes by way of a temporary folder (`TMPDIR`), which takes its size,
        and so does the official layout where parts are to wait on disk.
      processor_options: settings of a CaMML model's processor, such as `prompt_style`.

    Raises:
      ModelFolderError: there is no such model, or a file is missing or damaged.
      OptionError: an option does not fit this kind of model.

    Example:
      >>> model, processor = load_model("models/camml-mini")
      >>> type(model).__name__, type(processor).__name__
      ('CamMLForConditionalGeneration', 'CamMLProcessor')
    """
    folder, number = _folder(name), checked_dtype(dtype)
    kind = kind_of(folder)
    logging.getLogger("transformers.configuration_utils").addFilter(_about_this_model)
    given = {"device_map": device_map, "quantization_config": quantization_config}
    given |= {"attn_implementation": attn_implementation}
    options = {key: value for key, value in given.items() if value is not None}
    if kind != "camml" and processor_options:
        raise OptionError(f"{name} is not a CaMML model, so it has no {next(iter(processor_options))}")
    waiting = isinstance(device_map, Mapping) and "disk" in device_map.values()
    if (options and _is_sum(folder)) or (waiting and official.is_official(folder)):
        return _by_way_of_disk(folder, dtype, options, processor_options)
    if is_packed(folder):
        return packed.load(folder, number or torch.float32, **processor_options)
    if lora.is_run(folder):
        return lora.load(folder, number, **processor_options)
    options["dtype"] = number or "auto"
    try:
        if kind == "camml":
            model = CamMLForConditionalGeneration.from_pretrained(folder, **options)
            processor = CamMLProcessor.from_pretrained(folder, **processor_options)
            check_fits(model, processor)
            return model.eval(), processor
        if kind == "vision-language":
            seeing = AutoModelForImageTextToText.from_pretrained(folder, **options)
            return seeing.eval(), AutoProcessor.from_pretrained(folder)
        language = AutoModelForCausalLM.from_pretrained(folder, **options)
        return language.eval(), AutoTokenizer.from_pretrained(folder)
    except ImportError as error:  # such as torchvision, which the processors of some families need
        raise OptionError(f"{folder}: {' '.join(str(error).split())}") from None
    except (OSError, KeyError, ValueError, RuntimeError, EOFError, UnpicklingError, SafetensorError) as error:
        if isinstance(error, OptionError | ModelFolderError):
            raise
        raise ModelFolderError(f"{folder} cannot be loaded as a {kind} model: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return why a model cannot be loaded, in one line; what transformers says of tokenizers takes five."""
    if "backend tokenizer" in str(error):
        return (
            "no tokenizer in it can be read (tokenizer.json, or a tokenizer.model, which needs the package "
            "sentencepiece); take the whole folder"
        )
    return first_line(error)


def _about_this_model(record: logging.LogRecord) -> bool:
    """Return False for what transformers says of a SmolVLM with its own default sizes, which it builds to compare."""
    return "(between 0 and 31999), got 128002" not in record.getMessage()


def checked_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Return a precision as PyTorch names it; None for the one that weights are kept in.

    Raises:
      OptionError: there is none of that name.
    """
    if isinstance(dtype, torch.dtype) or dtype in (None, "auto"):
        return dtype if isinstance(dtype, torch.dtype) else None
    return choose_dtype(str(dtype).removeprefix("torch."))


def check_fits(model: CamMLForConditionalGeneration, processor: CamMLProcessor) -> None:
    """Raise an OptionError unless a processor writes the placeholders that a model looks for.

    Example:
      >>> model, processor = load_model("models/camml-mini")
      >>> check_fits(model, processor)
    """
    check_placeholders(vars(processor), model.config)
    theirs, ours = (getattr(part, "image_tokens", None) for part in (processor.processor, model.config.vlm_config))
    if ours is not None and theirs != ours:
        raise OptionError(f"the processor is of another model: its image_tokens is {theirs}, the model's is {ours}")


def _by_way_of_disk(
    folder: Path, dtype: torch.dtype | str | None, options: Mapping[str, Any], processor_options: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Return a model loaded from an ordinary folder that is written for it, and removed when nothing reads it any more.

    The model written is gone from memory before the other one is loaded. Weights that wait on disk are read from the
    folder, so it stays as long as they do.
    """
    with ExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory(prefix="camml-")))
        _write(folder, place, dtype)
        model, processor = load_model(place, dtype=dtype, **options, **processor_options)
        if "disk" in getattr(model, "hf_device_map", {}).values():
            finalize(model, stack.pop_all().close)
    return model, processor


def _write(folder: Path, target: Path, dtype: torch.dtype | str | None) -> None:
    """Write a model and its processor into an ordinary folder."""
    for part in load_model(folder, dtype=dtype):
        part.save_pretrained(target)


def merge(folder: Path, target: Path, dtype: str = "auto") -> None:
    """Write a packed model, or the model of a LoRA run, as the ordinary model folder `target`.

    Raises:
      ModelFolderError: `folder` is no such folder, what it was trained on is gone, or `target` is there already.
      OptionError: no such dtype.
    """
    if not _is_sum(folder):
        if (folder / "config.json").is_file():
            raise ModelFolderError(
                f"{folder} is a whole model, neither packed nor a LoRA run: there is nothing to merge"
            )
        raise ModelFolderError(f"{folder} is neither a packed model nor the folder of a LoRA run")
    with new_folder(target) as unfinished:
        _write(folder, unfinished, dtype)
        copy_settings(folder, unfinished)


def convert(source: Path, target: Path) -> None:
    """Write the model of an official folder `source` as an ordinary model folder `target`, whole or not at all.

    Raises:
      ModelFolderError: `source` is not in the official layout, or `target` is there already.
    """
    check_folder(source)
    if not official.is_official(source):
        raise ModelFolderError(f"{source} is not in the official layout (model_type {official.OFFICIAL_MODEL_TYPE!r})")
    with new_folder(target) as unfinished:
        _write(source, unfinished, "auto")
