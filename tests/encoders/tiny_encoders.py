"""One small encoder of every kind, random weights where there are weights, and inputs for them."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    Dinov2Config,
    Dinov2Model,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipTextConfig,
    SiglipVisionConfig,
)

from camml.encoders import Encoder, load
from camml.encoders._clip_bpe import MERGES

TEXTS = ["a red dog", "", "The dog is red, very red indeed. " * 40, "你好 🙂", "a Red dog", "flag of Norway"]
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
EYES = SMALL | {"image_size": 32, "patch_size": 8}


def images() -> list[Image.Image]:
    """Pictures of several shapes and colours."""
    generator = np.random.default_rng(0)
    noise = Image.fromarray(generator.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    plain = [
        Image.new("RGB", size, color) for size, color in (((50, 20), "red"), ((20, 90), "blue"), ((1, 1), "white"))
    ]
    return [noise, *plain]


def save_words(folder: Path, **options: object) -> None:
    """A tokenizer of single letters, lower case or not as `options` say."""
    marks = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    letters = {letter: index for index, letter in enumerate([*marks, *map(chr, range(33, 127))])}
    core = Tokenizer(models.WordLevel(letters, unk_token="[UNK]"))
    core.normalizer = normalizers.Replace(" ", "")
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 1), ("[SEP]", 2)])
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=core, **names, **options).save_pretrained(folder)


def save_loud(model: PreTrainedModel, folder: Path) -> Path:
    """Save `model` with weights so large that every input shows."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4)
    model.save_pretrained(folder)
    return folder


def save_mini(folder: Path) -> dict[str, str]:
    """The options of a small `mini` encoder."""
    vision = Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14)
    save_loud(Dinov2Model(vision), folder / "vision")
    save_loud(BertModel(BertConfig(**SMALL, vocab_size=120, max_position_embeddings=300)), folder / "text")
    save_words(folder / "text")
    return {"vision": str(folder / "vision"), "text": str(folder / "text")}


def save_clip(folder: Path) -> dict[str, str]:
    """The options of a `dual` encoder around a small CLIP."""
    text = CLIPTextConfig(**SMALL, vocab_size=120, max_position_embeddings=20, eos_token_id=2, bos_token_id=1)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=CLIPVisionConfig(**EYES).to_dict(), projection_dim=12)
    save_loud(CLIPModel(config), folder)
    save_words(folder, model_max_length=20)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return {"model": str(folder)}


def save_siglip(folder: Path) -> dict[str, str]:
    """The options of a `dual` encoder around a small SigLIP."""
    text = SiglipTextConfig(**SMALL, vocab_size=120, max_position_embeddings=64, projection_size=16)
    config = SiglipConfig(text_config=text.to_dict(), vision_config=SiglipVisionConfig(**EYES).to_dict())
    save_loud(SiglipModel(config), folder)
    save_words(folder, model_max_length=64)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return {"model": str(folder)}


def save_imagebind(folder: Path) -> dict[str, object]:
    """The options of an `imagebind` encoder, from a state dict in the official layout and merges of our own."""
    folder.mkdir(parents=True)
    torch.save(imagebind_state(), folder / "imagebind.pth")
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    pairs = [f"{a} {b}" for a in alphabet for b in alphabet]
    pairs += [f"{a} {b}</w>" for a in alphabet for b in alphabet]
    pairs += [f"x{number} y" for number in range(MERGES - len(pairs))]
    with gzip.open(folder / "merges.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(["header", *pairs]) + "\n")
    return {"model": str(folder / "imagebind.pth"), "merges": str(folder / "merges.txt.gz"), "heads": 2}


def imagebind_state(text_width: int = 8) -> dict[str, torch.Tensor]:
    """A random state dict of both towers, with a tensor of another sense."""
    shapes: dict[str, tuple[int, ...]] = {
        "modality_preprocessors.vision.cls_token": (1, 1, 16),
        "modality_preprocessors.vision.rgbt_stem.proj.1.weight": (16, 3, 2, 56, 56),
        "modality_preprocessors.vision.pos_embedding_helper.pos_embed": (1, 17, 16),
        "modality_preprocessors.text.pos_embed": (1, 77, text_width),
        "modality_preprocessors.text.mask": (77, 77),
        "modality_preprocessors.text.token_embedding.weight": (49408, text_width),
        "modality_preprocessors.audio.cls_token": (1, 1, 4),
        "modality_trunks.vision.pre_transformer_layer.0.weight": (16,),
        "modality_trunks.vision.pre_transformer_layer.0.bias": (16,),
        "modality_heads.vision.0.weight": (16,),
        "modality_heads.vision.0.bias": (16,),
        "modality_heads.vision.2.weight": (10, 16),
        "modality_heads.text.proj.0.weight": (text_width,),
        "modality_heads.text.proj.0.bias": (text_width,),
        "modality_heads.text.proj.1.weight": (10, text_width),
        "modality_postprocessors.text.1.log_logit_scale": (),
    }
    for tower, width in (("vision", 16), ("text", text_width)):
        for index in range(2):
            block = f"modality_trunks.{tower}.blocks.{index}"
            shapes |= {
                f"{block}.attn.in_proj_weight": (3 * width, width),
                f"{block}.attn.in_proj_bias": (3 * width,),
                f"{block}.attn.out_proj.weight": (width, width),
                f"{block}.attn.out_proj.bias": (width,),
                f"{block}.mlp.fc1.weight": (4 * width, width),
                f"{block}.mlp.fc1.bias": (4 * width,),
                f"{block}.mlp.fc2.weight": (width, 4 * width),
                f"{block}.mlp.fc2.bias": (width,),
                **{f"{block}.norm_{n}.{kind}": (width,) for n in (1, 2) for kind in ("weight", "bias")},
            }
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


KINDS: dict[str, tuple[str, Callable[[Path], dict[str, object]]]] = {
    "hashed": ("hashed", lambda folder: {}),
    "hashed joint": ("hashed", lambda folder: {"joint": True, "dim": 64}),
    "mini": ("mini", save_mini),
    "clip": ("dual", save_clip),
    "siglip": ("dual", save_siglip),
    "imagebind": ("imagebind", save_imagebind),
}
"""By kind: the name of the encoder, and what writes its weights and gives its options."""


def build(kind: str, folder: Path, **options: object) -> Encoder:
    """The small encoder of that kind, its weights in `folder`."""
    name, save = KINDS[kind]
    return load(name, **save(folder / kind), **options)
