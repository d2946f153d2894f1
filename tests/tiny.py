"""Tiny models with random weights, built on the spot: every part is real, only small."""

from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Dinov2Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)

from camml.model import CamMLConfig, CamMLForConditionalGeneration, CamMLProcessor
from camml.model.parts import config_of_parts, processor_of_parts
from camml.types import Sample

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
WORDS = [
    "the capital of France is Paris", "a red square on a white field", "which colour is the picture",
    "The assistant gives helpful, detailed, and polite answers to the user's questions.", "USER: ASSISTANT:",
]  # fmt: skip


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE over a few words, with a chat template."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(WORDS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", chat_template=CHAT_TEMPLATE
    )


def vision_config(kind: str = "clip") -> PretrainedConfig:
    """A tower of two layers for 28-pixel images in patches of 7."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 28, "patch_size": 7}
    if kind == "dinov2":
        return Dinov2Config(**sizes, mlp_ratio=2)
    return {"clip": CLIPVisionConfig, "siglip": SiglipVisionConfig}[kind](**sizes, intermediate_size=32)


def text_config(kind: str = "llama", tied: bool = False) -> PretrainedConfig:
    """A language model of two layers for the tokenizer above."""
    return {"llama": LlamaConfig, "qwen2": Qwen2Config}[kind](
        hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=320, max_position_embeddings=512, tie_word_embeddings=tied,
        eos_token_id=2, bos_token_id=1, pad_token_id=0,
    )  # fmt: skip


def config(vision: str = "clip", text: str = "llama", tied: bool = False, **sizes: object) -> CamMLConfig:
    """Everything small: 3 queries of each kind, perceivers of width 24; `sizes` of either configuration."""
    small = {
        "perceiver_hidden_size": 24, "perceiver_queries": 3, "perceiver_heads": 2, "perceiver_intermediate_size": 32,
    } | sizes  # fmt: skip
    return config_of_parts(vision_config(vision), text_config(text, tied), **small)


def model(settings: CamMLConfig | None = None, seed: int = 0) -> CamMLForConditionalGeneration:
    """A model with random weights, ten times louder than usual so that every input shows in the logits."""
    torch.manual_seed(seed)
    built = CamMLForConditionalGeneration(settings or config())
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8.0)
    return built.eval()


def processor(
    settings: CamMLConfig | None = None, image_aspect_ratio: str = "pad", **options: object
) -> CamMLProcessor:
    """The processor of `model(settings)`."""
    settings = settings or config()
    images = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    return processor_of_parts(settings, images, tokenizer(), image_aspect_ratio, **{"prompt_style": "chat", **options})


def added(family: str, seed: int = 0) -> tuple[CamMLForConditionalGeneration, CamMLProcessor]:
    """A tiny model of a family of vision-language models with perceivers added, and its processor."""
    from tests import families

    vlm, inner = families.build(family, seed=seed)
    settings = CamMLConfig(
        vlm_config=vlm.config, context_token_id=len(inner.tokenizer), perceiver_hidden_size=24, perceiver_queries=3,
        perceiver_heads=2, perceiver_intermediate_size=32,
    )  # fmt: skip
    torch.manual_seed(seed)
    built = CamMLForConditionalGeneration(settings, vlm)
    with torch.no_grad():
        for parameter in built.context_perceiver.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8.0)
    return built.eval(), CamMLProcessor.build(settings, inner, prompt_style="chat")


def image(folder: Path, name: str, colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> Path:
    """A picture of one colour with a darker corner, as a file."""
    picture = Image.new("RGB", size, colour)
    picture.paste(tuple(value // 3 for value in colour), (0, 0, size[0] // 3, size[1] // 2))
    file = folder / f"{name}.png"
    picture.save(file)
    return file


def samples(folder: Path) -> list[Sample]:
    """Three samples with images and one without."""
    return [
        Sample("red", "a red square", image(folder, "red", (220, 20, 20))),
        Sample("green", "the capital of France is Paris, they say", image(folder, "green", (20, 200, 40), (30, 60))),
        Sample("words", "a text without any image"),
        Sample("blue", "blue", image(folder, "blue", (10, 20, 230))),
    ]


def last_logits(model: CamMLForConditionalGeneration, **inputs: torch.Tensor) -> torch.Tensor:
    """What the model would say next, float[B, V]."""
    with torch.no_grad():
        return model(**inputs).logits[:, -1]
