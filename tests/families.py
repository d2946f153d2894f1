"""A tiny model with random weights and the whole processor of each family of vision-language models.

Every part is the family's own class, only small: two layers, widths of 32, pictures of 28 pixels in patches of 7.
Tiling and free resolutions stay on, so pictures of different shapes fill different numbers of tokens.
Nothing is fetched.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tests import family_parts, still_pictures

WORDS = ["the capital of France is Paris", "a red square on a white field", "which colour is the picture", "user:"]
still_pictures.prepare()

SPARE_ROWS = 24  # rows of the embedding beyond the tokenizer, where a family has some


@dataclass(frozen=True)
class Family:
    """How to build one family.

    Attributes:
      parts: makes the config and the processor; it gets the tokenizer and the rows of the embedding.
      named: special tokens that the tokenizer offers as attributes, by attribute.
      specials: other special tokens.
      turns: what stands before and after a turn of each role.
      picture: what the chat template writes for a picture.
      first: what the chat template begins with, in jinja.
      spare: the embedding has more rows than the tokenizer has tokens.
      bos: the tokenizer itself puts the first token before a text.
    """

    parts: Callable[[Any, int, str], tuple[Any, Any]]
    named: dict[str, str] = field(default_factory=dict)
    specials: tuple[str, ...] = ()
    turns: dict[str, tuple[str, str]] = field(default_factory=dict)
    picture: str = "<image>"
    spare: bool = False
    bos: bool = False
    first: str = ""

    def chat_template(self) -> str:
        """Return the template, in jinja: messages hold a text or a list of pictures and texts."""
        starts = {role: start for role, (start, _) in self.turns.items()}
        ends = {role: end for role, (_, end) in self.turns.items()}
        return (
            f"{{%- set starts = {starts!r} -%}}{{%- set ends = {ends!r} -%}}{self.first}"
            "{%- for message in messages -%}{{ starts[message.role] }}"
            "{%- if message.content is string -%}{{ message.content }}{%- else -%}{%- for part in message.content -%}"
            f"{{%- if part.type == 'image' -%}}{{{{ {self.picture!r} }}}}"
            "{%- else -%}{{ part.text }}{%- endif -%}{%- endfor -%}{%- endif -%}"
            "{{ ends[message.role] }}{%- endfor -%}"
            "{%- if add_generation_prompt -%}{{ starts['assistant'] }}{%- endif -%}"
        )

    def tokenizer(self) -> Any:
        """Return a byte-level BPE of a few hundred tokens that knows the family's special tokens."""
        core = Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = decoders.ByteLevel()
        special = list(dict.fromkeys(["<pad>", "<s>", "</s>", *self.named.values(), *self.specials]))
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=len(special) + 300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
        core.train_from_iterator(WORDS, trainer)
        if self.bos:
            core.post_processor = processors.TemplateProcessing(
                single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", core.token_to_id("<s>"))]
            )
        return hf.PreTrainedTokenizerFast(
            tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", padding_side="left",
            extra_special_tokens=self.named,
        )  # fmt: skip


def build(name: str, folder: Path | None = None, seed: int = 0) -> tuple[Any, Any]:
    """Return the model and the processor of a family; the same seed gives the same weights.

    Args:
      name: one of `FAMILIES`.
      folder: where to write both as well, if anywhere.
    """
    family = _FAMILIES[name]
    tokenizer = family.tokenizer()
    places = 1152 if name == "paligemma" else 0  # which its processor adds to the tokenizer
    rows = len(tokenizer) + places + SPARE_ROWS * family.spare
    config, processor = family.parts(tokenizer, rows, family.chat_template())
    for part in (config, config.get_text_config()):
        part.bos_token_id, part.eos_token_id, part.pad_token_id = 1, 2, 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = hf.AutoModelForImageTextToText.from_config(config, dtype=torch.float32).eval()
    _make_loud(model, seed)
    if folder is not None:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return model, processor


def save(name: str, folder: Path, seed: int = 0) -> None:
    """Write model and processor of a family into a folder.

    `AutoProcessor` reads it in a process that has imported this module, or where torchvision and num2words are
    installed: the files name the real classes.
    """
    build(name, folder, seed)


def message(text: str, pictures: int = 1, role: str = "user") -> dict[str, Any]:
    """Return a message with so many pictures before the text."""
    return {"role": role, "content": [{"type": "image"}] * pictures + [{"type": "text", "text": text}]}


@torch.no_grad()
def _make_loud(model: torch.nn.Module, seed: int) -> None:
    """Draw every matrix anew, each so large that what passes it keeps its size: all inputs show in the logits."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = {id(part.weight) for part in model.modules() if isinstance(part, torch.nn.Embedding)}
    for parameter in model.parameters():
        if parameter.dim() > 1:
            scale = 0.2 if id(parameter) in embeddings else parameter[0].numel() ** -0.5
            parameter.normal_(0.0, scale, generator=generator)


def _roles(start: str, end: str, assistant: str = "assistant") -> dict[str, tuple[str, str]]:
    """Return turns that are the same for every role but for its name."""
    return {role: (start.format(assistant if role == "assistant" else role), end) for role in ROLES}


ROLES = ("system", "user", "assistant")
VICUNA = {"system": ("", " "), "user": ("USER: ", " "), "assistant": ("ASSISTANT:", "</s>")}
INSTRUCT = {"system": ("", "\n"), "user": ("[INST]", "[/INST]"), "assistant": ("", "</s>")}
IM = _roles("<|im_start|>{}\n", "<|im_end|>\n")
IM_TOKENS = ("<|im_start|>", "<|im_end|>")
QWEN: dict[str, Any] = {
    "specials": (*IM_TOKENS, "<|vision_start|>", "<|image_pad|>", "<|video_pad|>", "<|vision_end|>"), "turns": IM,
    "picture": "<|vision_start|><|image_pad|><|vision_end|>", "spare": True,
}  # fmt: skip
IDEFICS: dict[str, Any] = {
    "specials": (
        "<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", "<|im_start|>",
        *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
    ),
    "turns": {role: (f"{role.capitalize()}:", "<end_of_utterance>\n") for role in ROLES},
}  # fmt: skip
_FAMILIES = {
    "llava": Family(family_parts.llava, specials=("<image>",), turns=VICUNA, picture="<image>\n", spare=True, bos=True),
    "llava_next": Family(family_parts.llava_next, specials=("<image>",), turns=INSTRUCT, picture="<image>\n", bos=True),
    "llava_onevision": Family(family_parts.llava_onevision, specials=("<image>", "<video>", *IM_TOKENS), turns=IM),
    "qwen2_vl": Family(family_parts.qwen2_vl, **QWEN),
    "qwen2_5_vl": Family(family_parts.qwen2_5_vl, **QWEN),
    "qwen3_vl": Family(family_parts.qwen3_vl, **QWEN),
    "smolvlm": Family(family_parts.smolvlm, **IDEFICS, first="<|im_start|>"),
    "idefics3": Family(family_parts.idefics3, **IDEFICS, first="<|im_start|>"),
    "internvl": Family(
        family_parts.internvl, turns=IM, specials=IM_TOKENS, picture="<IMG_CONTEXT>\n",
        named={
            "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    ),
    "gemma3": Family(
        family_parts.gemma3, turns=_roles("<start_of_turn>{}\n", "<end_of_turn>\n", "model"),
        picture="<start_of_image>", specials=("<start_of_turn>", "<end_of_turn>"), first="{{ bos_token }}",
        spare=True, bos=True,
        named={"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
    ),
    "paligemma": Family(
        family_parts.paligemma, turns=dict.fromkeys(ROLES, ("", "\n")), named={"image_token": "<image>"}, spare=True
    ),
    "mistral3": Family(
        family_parts.mistral3, turns=INSTRUCT, first="{{ bos_token }}", picture="[IMG]", bos=True,
        specials=("[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"),
    ),
    "aya_vision": Family(
        family_parts.aya_vision, bos=True, first="{{ bos_token }}",
        turns={role: (f"<|START|><|{role}|>", "<|END|>") for role in ROLES},
        specials=(
            "<image>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>", "TILE",
            "TILE_GLOBAL", "<|START|>", "<|END|>", *(f"<|{role}|>" for role in ROLES),
        ),
    ),
    "glm4v": Family(
        family_parts.glm4v, turns={role: (f"<|{role}|>\n", "") for role in ROLES}, first="[gMASK]<sop>", spare=True,
        picture="<|begin_of_image|><|image|><|end_of_image|>",
        specials=(
            "[gMASK]", "<sop>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>",
            "<|image|>", "<|video|>", *(f"<|{role}|>" for role in ROLES),
        ),
    ),
    "deepseek_vl": Family(
        family_parts.deepseek_vl, turns=VICUNA, picture="<image_placeholder>", bos=True,
        named={"image_token": "<image_placeholder>"},
    ),
}  # fmt: skip
# before transformers 5.18 the PIL images of these two could be imported only with torchvision
_MISSING = {"idefics3", "smolvlm"} if getattr(hf.Idefics3ImageProcessorPil, "is_dummy", False) else set()
FAMILIES = tuple(name for name in _FAMILIES if name not in _MISSING)
