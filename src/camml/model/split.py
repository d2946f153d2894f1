"""A model in two folders: what makes embeddings, and the bare language model that reads them."""

import hashlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from camml import packages
from camml.errors import OptionError
from camml.model.folder import WEIGHT_FILES, check_folder
from camml.model.llava_parts import LlavaPartsForConditionalGeneration
from camml.model.loading import load_model
from camml.model.modeling import CamMLForConditionalGeneration
from camml.model.placement import holding
from camml.model.processor import CamMLProcessor
from camml.types import Sample


def split(folder: Path) -> tuple[Path, Path]:
    """Return the folders of the front and of the language model of a model, in the cache; written once, safe to delete.

    The front is a model of the same kind whose language model has word embeddings and no layers. Of a model that is
    nothing but a language model, the second folder is the model's own.

    Raises:
      ModelFolderError: the folder does not hold a model.
      OptionError: the language model of a vision-language model reads more than embeddings.
      DiskError: the cache cannot be written, or has no room for a second copy of the language model.
    """
    camml = str(check_folder(folder).get("model_type")).lower() == "camml"
    target = packages.cache_dir() / "split" / f"{folder.resolve().name}-{_state(folder)[:16]}"
    with packages.writing(target) as room:
        if room is not None:
            (_split_camml if camml else _split_language_model)(folder, room)
    return target / "front", target / "language_model" if camml else folder


def _split_camml(folder: Path, room: Path) -> None:
    model, processor = load_model(folder)
    try:
        language = bare_language_model(model, processor)
    except OptionError as error:
        raise OptionError(f"{folder}: {error}, so it does not run by itself; use --engine transformers") from None
    language.save_pretrained(room / "language_model")
    processor.tokenizer.save_pretrained(room / "language_model")
    _without_layers(model)
    model.save_pretrained(room / "front")
    processor.save_pretrained(room / "front")


def _split_language_model(folder: Path, room: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    _without_layers(model)
    model.save_pretrained(room / "front")
    AutoTokenizer.from_pretrained(folder).save_pretrained(room / "front")


@torch.no_grad()
def bare_language_model(model: CamMLForConditionalGeneration, processor: CamMLProcessor) -> PreTrainedModel:
    """Return the language model inside a model, as one that runs by itself; the weights are not copied.

    Raises:
      OptionError: that would be another model: what it reads are not embeddings alone, or the vision-language model
        has another head than such a language model.
    """
    vlm = model.vlm
    if isinstance(vlm, LlavaPartsForConditionalGeneration):
        own: PreTrainedModel = vlm.language_model
        return own
    prompt = processor.prepare(["a"], [Image.new("RGB", (64, 48), "white")], [[Sample("a", "a")]])
    embeds = model.embed(**prompt)[:, -4:]
    part, head = model.language_part, model.get_output_embeddings()
    config: Any = deepcopy(model.config.get_text_config())
    kind = model.config.vlm_config.model_type
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or head is None:
        raise OptionError(f"a {kind!r} model has a {config.model_type!r} language model, which is none by itself")
    config.tie_word_embeddings = head.weight is model.get_input_embeddings().weight
    with torch.device("meta"):
        language: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=part.dtype)
    setattr(language, language.base_model_prefix, part)
    language.set_output_embeddings(head)
    language.generation_config = model.generation_config
    expected = head(part(inputs_embeds=embeds).last_hidden_state)
    if any(parameter.is_meta for parameter in language.parameters()) or not torch.allclose(
        language(inputs_embeds=embeds).logits, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())
    ):
        raise OptionError(f"a {kind!r} model has another head than a {config.model_type!r} language model")
    return language


def _without_layers(model: Any) -> None:
    """Leave a model with the word embeddings of its language model, which are its head too, and none of its layers."""
    part = holding(model, model.get_input_embeddings())
    for name, child in part.named_children():
        if isinstance(child, nn.ModuleList):
            setattr(part, name, nn.ModuleList())
    text = model.config.get_text_config()
    text.num_hidden_layers = 0
    if getattr(text, "layer_types", None) is not None:
        text.layer_types = []
    for config in (model.config, getattr(model.config, "vlm_config", model.config), text):
        config.tie_word_embeddings = True
    model.get_output_embeddings().weight = model.get_input_embeddings().weight


def _state(folder: Path) -> str:
    """Return a hash of names, sizes and times of a model's files, as reading all of them is slow."""
    patterns = (*WEIGHT_FILES, "*.json", "*.model", "*.txt", "*.jinja", "*/*.json", "*/*.jinja")
    files = sorted({file.resolve() for pattern in patterns for file in folder.glob(pattern)})
    facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
