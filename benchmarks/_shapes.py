"""Models and encoders with random weights in the shapes of real ones, so that nothing has to be downloaded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    CLIPVisionConfig,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from camml.model import CamMLForConditionalGeneration
from camml.model.parts import config_of_parts

WORDS = 400
CHAT = "{% for m in messages %}{{ m['content'] }} {% endfor %}"


@dataclass(frozen=True)
class Shape:
    """A model and its rows: image side, queries M, width P, samples of a row, tokens of a sample and of a row."""

    image: int
    queries: int
    width: int
    shots: int
    projector: str
    words: int = 256
    row: int = 1024
    text: dict[str, Any] = field(default_factory=dict)
    vision: dict[str, int] = field(default_factory=dict)
    style: str = "official"


VICUNA_7B = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
             "vocab_size": 32000, "max_position_embeddings": 4096}  # fmt: skip
CLIP_L = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
          "patch_size": 14}  # fmt: skip
SMOLLM2 = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
           "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True}  # fmt: skip
DINOV2_SMALL = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 12, "num_attention_heads": 6,
                "patch_size": 14}  # fmt: skip
DINOV2_LARGE = {**CLIP_L}
TINY_TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
             "vocab_size": 512}  # fmt: skip
TINY_VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2,
               "patch_size": 14}  # fmt: skip
SHAPES = {
    "camml_7b_sqa": Shape(224, 64, 768, 1, "linear", text=VICUNA_7B, vision=CLIP_L),
    "camml_7b": Shape(336, 128, 768, 3, "mlp2x_gelu", row=1536, text=VICUNA_7B, vision=CLIP_L),
}
TINY = {
    name: Shape(56, 4, 48, shape.shots, shape.projector, 16, 96, TINY_TEXT, TINY_VISION)
    for name, shape in SHAPES.items()
}
CASES = {
    "tiny": TINY["camml_7b"],
    "small": Shape(224, 16, 384, 3, "mlp2x_gelu", 32, 384, SMOLLM2, DINOV2_SMALL, "chat"),
    "7b": SHAPES["camml_7b"],
}
"""`small` has the shapes of SmolLM2-135M and DINOv2-small, `7b` those of Vicuna-7B and CLIP-L at 336 pixels."""


def pick_size(name: str | None, device: torch.device, cpu: str = "small") -> str:
    """The case asked for; by default that of a GPU is 7b."""
    return name or ("7b" if device.type == "cuda" else cpu)


def build(shape: Shape, device: torch.device, dtype: torch.dtype, positions: bool = True) -> Any:
    """The model with random weights, for inference."""
    config = config_of_parts(
        CLIPVisionConfig(**shape.vision, image_size=shape.image),
        LlamaConfig(**{"max_position_embeddings": 4096, **shape.text}),
        projector_type=shape.projector,
        perceiver_hidden_size=shape.width,
        perceiver_intermediate_size=4 * shape.width,
        perceiver_queries=shape.queries,
        perceiver_positions=positions,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        torch.manual_seed(0)
        with device:
            return CamMLForConditionalGeneration(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)


def inputs(model: Any, shape: Shape, rows: int, tokens: int) -> dict[str, Tensor]:
    """Prompts of `tokens` tokens, each with an image and `shots` samples with images."""
    config, generator = model.config, torch.Generator().manual_seed(rows)
    vocabulary, patches = config.get_text_config().vocab_size, config.vlm_config.patch_tokens
    slots = [config.context_token_id] * config.context_tokens + [config.image_token_id] * config.vlm_config.image_tokens
    words = torch.randint(10, vocabulary, (rows, tokens - len(slots)), generator=generator)
    ids = torch.cat([torch.tensor(slots).expand(rows, -1), words], dim=1)
    samples = torch.randint(10, vocabulary, (rows, shape.shots, shape.words), generator=generator)
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.randn(rows, 3, shape.image, shape.image, generator=generator),
        "sample_input_ids": samples,
        "sample_attention_mask": torch.ones_like(samples),
        "sample_pixel_values": torch.randn(rows * shape.shots, 3, shape.image, shape.image, generator=generator),
        "sample_image_counts": torch.full((rows, shape.shots), patches),
    }
    return {name: tensor.to(next(model.parameters()).device) for name, tensor in inputs.items()}


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word."""
    words = ["<pad>", "<s>", "</s>", "<unk>", *(f"w{number}" for number in range(WORDS))]
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = CHAT
    return tokenizer


def text(words: int, chance: np.random.Generator) -> str:
    """As many words that the tokenizer knows."""
    return " ".join(f"w{number}" for number in chance.integers(0, WORDS, words))


def photo(file: Path, chance: np.random.Generator) -> Path:
    """A JPEG of 640 x 480 pixels that compresses about as a photo does."""
    small = Image.fromarray(chance.integers(0, 255, (30, 40, 3), dtype=np.uint8))
    small.resize((640, 480), Image.Resampling.BICUBIC).save(file, quality=90)
    return file


def random_encoder(folder: Path, vision: dict[str, int], **options: Any) -> Any:
    """The encoder `mini` around towers with random weights, written to `folder`; its texts are one token a word."""
    from camml import encoders

    torch.manual_seed(0)
    shape = {name: value for name, value in vision.items() if name != "intermediate_size"}
    Dinov2Model(Dinov2Config(**shape, image_size=518)).save_pretrained(folder / "vision")
    words = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536,
                       vocab_size=WORDS + 4)  # fmt: skip
    BertModel(words).save_pretrained(folder / "text")
    tokenizer().save_pretrained(folder / "text")
    return encoders.load("mini", vision=str(folder / "vision"), text=str(folder / "text"), **options)
