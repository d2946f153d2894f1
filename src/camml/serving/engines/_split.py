"""A model in two folders: what makes embeddings, and the bare language model that reads them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from camml import packages
from camml.errors import OptionError
from camml.model.folder import WEIGHT_FILES, check_folder
from camml.model.language import bare_language_model, language_part
from camml.model.loading import load_model
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
    with packages.writing(target) as staging:
        if staging is not None:
            (_split_camml if camml else _split_language_model)(folder, staging)
    return target / "front", target / "language_model" if camml else folder


def _split_camml(folder: Path, out: Path) -> None:
    model, processor = load_model(folder)
    prompt = processor.prepare(["a"], [Image.new("RGB", (64, 48), "white")], [[Sample("a", "a")]])
    try:
        with torch.no_grad():
            language = bare_language_model(model.vlm, model.embed(**prompt)[:, -4:])
    except OptionError as error:
        raise OptionError(f"{folder}: {error}, so it does not run by itself; use --engine transformers") from None
    language.save_pretrained(out / "language_model")
    processor.tokenizer.save_pretrained(out / "language_model")
    _without_layers(model)
    model.save_pretrained(out / "front")
    processor.save_pretrained(out / "front")


def _split_language_model(folder: Path, out: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    _without_layers(model)
    model.save_pretrained(out / "front")
    AutoTokenizer.from_pretrained(folder).save_pretrained(out / "front")


def _without_layers(model: Any) -> None:
    """Leave a model with the word embeddings of its language model, which are its head too, and none of its layers."""
    part = language_part(model)
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
