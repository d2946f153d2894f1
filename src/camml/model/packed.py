"""A model as what was trained alone: projector, perceivers and LoRA matrices, in 16 bits, beside the names of the rest.

A packed folder holds `packed.json`, `between.safetensors` (what CaMML adds: projector and perceivers, by their names
in the model) and `lora.safetensors` (`NAME.lora_A`, `NAME.lora_B` for a weight `NAME.weight`). The language model and
the vision tower come from where `camml fetch` brings them; their hashes are written down, and others refused.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from camml import weights
from camml.errors import ModelFolderError
from camml.model.folder import ADDED_FILE, PACKED, load_part, new_folder, read_file
from camml.model.lora import ADDED, add_products
from camml.model.modeling import CamMLForConditionalGeneration
from camml.model.parts import assemble
from camml.model.processor import CamMLProcessor
from camml.model.retrieval_settings import copy_files

PARTS = ("language_model", "vision_tower")
LORA = "lora.safetensors"
USUAL: Mapping[str, Any] = {"image_aspect_ratio": "pad", "thinking": False}
"""Settings of the processor that are written down where they are otherwise, as folders of before do not have them."""


def pack(
    target: Path,
    *,
    language_model: str,
    vision_tower: str,
    sizes: Mapping[str, Any],
    added: Mapping[str, Tensor],
    lora: Mapping[str, Tensor],
    scale: float,
    prompt_style: str | None = None,
    image_aspect_ratio: str = "pad",
    thinking: bool = False,
    retrieval: Mapping[str, Any] | None = None,
    retrieval_of: Path | None = None,
) -> None:
    """Write a packed folder; scripts/pack_model.py calls it.

    Args:
      language_model, vision_tower: names that `camml fetch` knows.
      sizes: fields of `CamMLConfig`.
      added: projector and perceivers.
      lora: matrices `NAME.lora_A` float[r, in] and `NAME.lora_B` float[out, r].
      scale: what their product counts, alpha / r.
      prompt_style: a name in `camml.prompts.STYLES`; None for the tokenizer's own.
      image_aspect_ratio, thinking: what the processor has in training.
      retrieval: fields of `RetrievalSettings`: how samples for this model are found.
      retrieval_of: a model folder from which these fields, and the files that they name, are taken instead.

    Raises:
      FetchError: the bases could not be obtained; what they are is written down, and another one refused later.
      ModelFolderError: `target` is there already.
    """
    bases = language_model, vision_tower
    about = {
        "language_model": language_model,
        "vision_tower": vision_tower,
        "base_sha256": {part: weights.base(name).sha256 for part, name in zip(PARTS, bases, strict=True)},
        "retrieval": dict(retrieval or {}),
        "sizes": dict(sizes),
        "lora_scale": scale,
        "prompt_style": prompt_style,
    }
    processing = {"image_aspect_ratio": image_aspect_ratio, "thinking": thinking}
    about |= {name: value for name, value in processing.items() if value != USUAL[name]}
    with new_folder(target) as unfinished:
        if retrieval_of is not None:
            about["retrieval"] = copy_files(retrieval_of, unfinished)
        (unfinished / PACKED).write_text(json.dumps(about, indent=2) + "\n", "utf-8")
        for name, tensors in ((ADDED_FILE, added), (LORA, lora)):
            halves = {key: tensor.detach().to(torch.bfloat16).contiguous() for key, tensor in tensors.items()}
            save_file(halves, unfinished / name)


def load(
    folder: Path, dtype: torch.dtype = torch.float32, **options: Any
) -> tuple[CamMLForConditionalGeneration, CamMLProcessor]:
    """Return the whole model, and its processor; each sum is made in float32, of the bases as `dtype` holds them.

    Args:
      dtype: of the weights, of which there is never a second copy.
      options: what the processor has otherwise than usual, such as its `prompt_style`.

    Raises:
      ModelFolderError: the folder does not hold what it should.
      FetchError: the language model or the tower could not be obtained.
    """
    try:
        about = json.loads((folder / PACKED).read_text("utf-8"))
        names, pins = [str(about[part]) for part in PARTS], dict(about.get("base_sha256", {}))
        sizes, scale = dict(about["sizes"]), float(about["lora_scale"])
        style = about.get("prompt_style")
        padding, thinking = (about.get(name, usual) for name, usual in USUAL.items())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(
            f"{folder / PACKED} cannot be used ({error!r}); copy or download the folder again"
        ) from error
    bases = [
        weights.pinned(name, pins[part]) if part in pins else weights.folder(name)
        for part, name in zip(PARTS, names, strict=True)
    ]
    model, processor = assemble(*bases, dtype=dtype, prompt_style=style, image_aspect_ratio=padding, **sizes)
    trained, lora = ({in_model(name): part for name, part in read_file(folder / file)} for file in (ADDED_FILE, LORA))
    load_part(model, ADDED, trained, folder / ADDED_FILE)
    add_products(model, lora, scale, folder / LORA)
    for name, value in {"thinking": thinking, **options}.items():
        setattr(processor, name, value)
    return model.eval(), processor


def in_model(name: str) -> str:
    """Return the name in the model of a tensor of a packed folder, which leaves out that it is of the `vlm`."""
    return name if name.startswith("context_perceiver.") else f"vlm.{name}"
