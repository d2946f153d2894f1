"""A model that is trained, with random weights, and rows of photos and texts through the training's own loader."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _shapes import Shape, photo, text, tokenizer
from _shapes import build as random_model
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import CLIPImageProcessorPil

from camml.data.collate import Collator
from camml.data.examples import TrainingRows
from camml.data.llava_json import Conversation
from camml.model.parts import processor_of_parts
from camml.prompts import Turn
from camml.training import tuning
from camml.training.arguments import ModelArguments
from camml.types import Neighbor, Sample

PHOTOS = 32
Batches = Iterator[dict[str, Tensor]]


def build(tune: str, shape: Shape, device: torch.device) -> Any:
    """The model with random weights on the device: bfloat16 where frozen; float32 where trained."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    # trained in bfloat16 when everything is: float32 with its moments would be 16 bytes a parameter
    model = random_model(shape, device, torch.bfloat16, positions=False).requires_grad_(True)
    if tune == "qlora":
        quantise(model.vlm.language_model, device)
    wrapped = tuning.freeze(model, ModelArguments(model_name_or_path="-", tune=tune))
    if tune != "full":
        tuning.in_float32(wrapped)
    wrapped.gradient_checkpointing_enable()
    return wrapped.to(device).train()


def quantise(model: torch.nn.Module, device: torch.device) -> None:
    """Replace the linear layers of a language model by 4-bit ones, all but the head."""
    import bitsandbytes

    for name, layer in list(model.named_modules()):
        if isinstance(layer, torch.nn.Linear) and not name.endswith("lm_head"):
            packed = bitsandbytes.nn.Linear4bit(
                layer.in_features, layer.out_features, bias=layer.bias is not None,
                compute_dtype=torch.bfloat16, quant_type="nf4", compress_statistics=True,
            )  # fmt: skip
            packed.weight = bitsandbytes.nn.Params4bit(layer.weight.data.cpu(), requires_grad=False, quant_type="nf4")
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, packed.to(device))


def loader(model: Any, shape: Shape, rows: int, workers: int, folder: Path) -> Batches:
    """Batches without end on the device: rows with a photo, samples with photos, and words up to the row's length."""
    config = tuning.bare(model).config
    images = CLIPImageProcessorPil(
        size={"shortest_edge": shape.image}, crop_size={"height": shape.image, "width": shape.image}
    )
    processor = processor_of_parts(config, images, tokenizer(), prompt_style="official")
    chance = np.random.default_rng(0)
    photos = [photo(folder / f"{number}.jpg", chance) for number in range(PHOTOS)]
    samples = [Sample(str(number), text(shape.words - 1, chance), file) for number, file in enumerate(photos)]
    start = len(processor.tokenize(processor.render([Turn("w1", "w1")], True, True)))
    spare = shape.row - start
    assert spare > 0, (shape, start)
    conversations = [
        Conversation(
            str(number),
            (Turn(text(1 + spare - spare // 4, chance), text(1 + spare // 4, chance)),),
            photos[number % PHOTOS],
        )
        for number in range(8 * rows)
    ]
    context = {
        conversation.id: tuple(Neighbor(sample, 0.5) for sample in chance.choice(samples, shape.shots))
        for conversation in conversations
    }
    dataset = TrainingRows(conversations, context.__getitem__, processor, shots=shape.shots, max_length=shape.row)
    device = next(model.parameters()).device
    made = DataLoader(dataset, rows, num_workers=workers, collate_fn=Collator(processor),
                      persistent_workers=workers > 0, pin_memory=device.type == "cuda")  # fmt: skip
    endless = itertools.chain.from_iterable(itertools.repeat(made))
    return ({name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()} for batch in endless)
