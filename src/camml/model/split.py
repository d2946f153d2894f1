"""A model in two folders: what makes embeddings, and the bare language model that reads them."""

import hashlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from camml import packages
from camml.errors import ModelFolderError
from camml.model.folder import WEIGHT_FILES, check_folder
from camml.model.llava_parts import LlavaPartsForConditionalGeneration
from camml.model.loading import load_model
from camml.model.modeling import CamMLForConditionalGeneration


def split(folder: Path) -> tuple[Path, Path]:
    """The folders of the front and of the language model of a model, in the cache; written once, safe to delete.

    The front is a model of the same kind whose language model has word embeddings and no layers. Of a model that is
    nothing but a language model, the second folder is the model's own.

    Raises:
      ModelFolderError: the folder does not hold a model.
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
    vlm = model.vlm
    if not isinstance(vlm, LlavaPartsForConditionalGeneration):
        raise ModelFolderError(
            f"{folder} adds to a {vlm.config.model_type!r} model, which reads more than embeddings; this engine serves "
            "models of a language model and a vision tower: use --engine transformers"
        )
    vlm.language_model.save_pretrained(room / "language_model")
    processor.tokenizer.save_pretrained(room / "language_model")
    shallow = without_layers(vlm.language_model)
    parts, config = deepcopy(vlm.config), deepcopy(model.config)
    parts.text_config, parts.tie_word_embeddings = shallow.config, True
    config.vlm_config, config.tie_word_embeddings = parts, True
    light = LlavaPartsForConditionalGeneration(parts, vlm.vision_tower, shallow)
    light.projector, light.generation_config = vlm.projector, model.generation_config
    front = CamMLForConditionalGeneration(config, light)
    front.context_perceiver = model.context_perceiver
    front.to(model.dtype).save_pretrained(room / "front")
    processor.save_pretrained(room / "front")


def _split_language_model(folder: Path, room: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    shallow = without_layers(model)
    shallow.generation_config = model.generation_config
    shallow.save_pretrained(room / "front")
    AutoTokenizer.from_pretrained(folder).save_pretrained(room / "front")


def without_layers(language: PreTrainedModel) -> PreTrainedModel:
    """A language model of the same kind with the same word embeddings, which are its head too, and no layers."""
    config: Any = deepcopy(language.config)
    config.num_hidden_layers, config.tie_word_embeddings = 0, True
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = []
    shallow: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=language.dtype)
    words: nn.Module = language.get_input_embeddings()
    shallow.set_input_embeddings(words)
    shallow.tie_weights()
    return shallow


def _state(folder: Path) -> str:
    """A hash that changes when a file of the model does: names, sizes and times, as weights are slow to read."""
    patterns = (*WEIGHT_FILES, "*.json", "*.model", "*.txt", "*.jinja")
    files = sorted({file.resolve() for pattern in patterns for file in folder.glob(pattern)})
    facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
