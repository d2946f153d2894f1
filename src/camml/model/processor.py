"""Questions, images and samples to the tensors a CaMML model reads, and its answers back to text."""

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from camml import prompts
from camml.errors import InputError, OptionError
from camml.images import ImageSource, cuts_middle, each_image, mean_color, middle_of_strip, open_image, pad_to_square
from camml.model import official
from camml.model.config import CamMLConfig
from camml.model.folder import read_config
from camml.prompts import Turn
from camml.types import Sample

Conversation = str | Sequence[Turn]
"""A question, or turns of question and answer."""

FeaturesOf = Callable[[Sequence[ImageSource | None]], Tensor]
"""float[N, Lv, W] that the vision tower gives for N images, zeros where there is none; kept from an earlier run."""


class CamMLProcessor(ProcessorMixin):
    """Writes one placeholder for each context and image token, so that a sequence has its final length.

    Args:
      image_processor, tokenizer: of the vision tower and the language model.
      context_tokens, patch_tokens: how many placeholders a context and an image get.
      context_token_id, image_token_id: the placeholders; the model's configuration has the same.
      prompt_style: a name in `camml.prompts.STYLES`.
      image_aspect_ratio: `pad` an image to a square in the tower's mean colour, or `keep` it as it is.
      sample_max_length: tokens that a sample's text may have; the rest is cut off.
    """

    def __init__(
        self,
        image_processor: BaseImageProcessor,
        tokenizer: PreTrainedTokenizerBase,
        context_tokens: int = 256,
        patch_tokens: int = 576,
        context_token_id: int = 32000,
        image_token_id: int = 32001,
        prompt_style: str = "official",
        image_aspect_ratio: str = "pad",
        sample_max_length: int = 2048,
        **kwargs: Any,
    ) -> None:
        prompts.style(prompt_style)
        if image_aspect_ratio not in ("pad", "keep"):
            raise OptionError(f"no image_aspect_ratio {image_aspect_ratio!r}; there are: pad, keep")
        self.context_tokens = context_tokens
        self.patch_tokens = patch_tokens
        self.context_token_id = context_token_id
        self.image_token_id = image_token_id
        self.prompt_style = prompt_style
        self.image_aspect_ratio = image_aspect_ratio
        self.sample_max_length = sample_max_length
        if tokenizer.pad_token_id is None:  # masked wherever it stands, so any token would do
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        super().__init__(image_processor, tokenizer, chat_template=kwargs.pop("chat_template", None))

    @classmethod
    def build(
        cls,
        config: CamMLConfig,
        image_processor: BaseImageProcessor,
        tokenizer: PreTrainedTokenizerBase,
        **options: Any,
    ) -> "CamMLProcessor":
        """The processor that fits a model of `config`; `options` are those of the class."""
        return cls(
            image_processor,
            tokenizer,
            context_tokens=config.context_tokens,
            patch_tokens=config.image_tokens,
            context_token_id=config.context_token_id,
            image_token_id=config.image_token_id,
            sample_max_length=config.sample_max_length,
            **options,
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers; a folder in the official CaMML layout is read as it is."""
        if official.is_official(pretrained_model_name_or_path):
            return cls._from_official(Path(pretrained_model_name_or_path), **kwargs)
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    @classmethod
    def _from_official(cls, folder: Path, **options: Any) -> "CamMLProcessor":
        values = read_config(folder)
        config = official.config_of(folder)
        options.setdefault("image_aspect_ratio", "pad" if values.get("image_aspect_ratio") == "pad" else "keep")
        image_processor, tokenizer = official.image_processor(folder, config), official.tokenizer(folder, config)
        return cls.build(config, image_processor, tokenizer, **options)

    def __call__(
        self,
        text: Conversation | Sequence[Conversation],
        images: ImageSource | Sequence[ImageSource | None] | None = None,
        samples: Sequence[Sequence[Sample]] | None = None,
        padding_side: str = "left",
        features_of: FeaturesOf | None = None,
        encode_samples: bool = True,
        **kwargs: Any,
    ) -> BatchFeature:
        """All that a model needs for B questions.

        Args:
          text: B questions, or conversations whose last answer is still to come.
          images: for each question an image or None.
          samples: for each question its samples, nearest first; they may be of different number, or none.
          padding_side: `left` for generation, `right` for training.
          features_of: where the tower's features of all images are at hand, so that it need not run.
          encode_samples: False to leave the `sample_*` tensors out, for callers who have the `context_embeds`.

        Returns:
          `input_ids`, `attention_mask` int64[B, T]; where there are images `pixel_values` float[B, 3, H, W] (zeros in
          rows without one); where there are samples, padded to N a row and L tokens each, `sample_input_ids`,
          `sample_attention_mask` int64[B, N, L], and where samples have images `sample_pixel_values`
          float[B, N, 3, H, W] and `sample_image_mask` bool[B, N]. With `features_of`, in place of the pixels,
          `image_features` float[B, Lv, W] and `sample_image_features` float[B, N, Lv, W], images or not.

        Raises:
          InputError: the lists are of different lengths.
          ImageError: an image cannot be used.
        """
        rows: list[Any] = [text] if isinstance(text, str) else list(text)
        if images is None or isinstance(images, ImageSource):
            images = [images] * len(rows)
        contexts: Sequence[Sequence[Sample]] = samples if samples is not None else [()] * len(rows)
        for name, given in (("images", images), ("samples", contexts)):
            if len(given) != len(rows):
                raise InputError(
                    f"{len(rows)} questions, but {name} for {len(given)}; give one entry for each question"
                )
        prompts_ = [self.render(row, bool(c), i is not None) for row, c, i in zip(rows, contexts, images, strict=True)]
        found = self.pad([self.tokenize(prompt) for prompt in prompts_], padding_side)
        found |= self.image_inputs(images, features_of)
        if encode_samples and any(contexts):
            found |= self.sample_inputs(contexts, features_of)
        return BatchFeature(found)

    def render(self, conversation: Conversation, context: bool, image: bool) -> str:
        """The prompt of one row in this processor's style, with `prompts.CONTEXT` and `prompts.IMAGE` in it."""
        turns = [Turn(conversation)] if isinstance(conversation, str) else conversation
        template = self._chat_template if self.tokenizer.chat_template else None
        return prompts.render(self.prompt_style, turns, context=context, image=image, chat_template=template)

    def tokenize(self, prompt: str) -> list[int]:
        """The ids of a prompt, placeholders in place; every piece between them is tokenized by itself.

        Source: the published code does the same, and for sentencepiece vocabularies it makes a difference.
        """
        slots = {
            prompts.CONTEXT: [self.context_token_id] * self.context_tokens,
            prompts.IMAGE: [self.image_token_id] * self.patch_tokens,
        }
        pieces = (
            slots.get(piece) or self.tokenizer.encode(piece, add_special_tokens=False)
            for piece in prompts.split(prompt)
        )
        return [*self._start(), *chain.from_iterable(pieces)]

    def image_inputs(
        self, images: Sequence[ImageSource | None], features_of: FeaturesOf | None = None
    ) -> dict[str, Tensor]:
        """What stands for N images: `image_features`, or `pixel_values`, or nothing where there are none."""
        if features_of is not None:
            return {"image_features": features_of(images)}
        pixels = self.pixels(images)
        return {} if pixels is None else {"pixel_values": pixels}

    def sample_inputs(
        self, contexts: Sequence[Sequence[Sample]], features_of: FeaturesOf | None = None
    ) -> dict[str, Tensor]:
        """The `sample_*` tensors of `__call__` for B rows of samples."""
        widest = max(len(context) for context in contexts)
        texts = [sample.text for context in contexts for sample in context]
        encoded = [self.sample_ids(text) for text in texts]
        longest = max(map(len, encoded))
        ids = torch.full((len(contexts), widest, longest), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        remaining = iter(encoded)
        for row, context in enumerate(contexts):
            for column, tokens in zip(range(len(context)), remaining, strict=False):
                ids[row, column, : len(tokens)] = torch.tensor(tokens)
                mask[row, column, : len(tokens)] = 1
        found = {"sample_input_ids": ids, "sample_attention_mask": mask}
        padded = [[*(s.image for s in context), *[None] * (widest - len(context))] for context in contexts]
        for name, values in self.image_inputs(list(chain.from_iterable(padded)), features_of).items():
            found[f"sample_{name}"] = values.unflatten(0, (len(contexts), widest))
            found["sample_image_mask"] = torch.tensor([[image is not None for image in row] for row in padded])
        return found

    def sample_ids(self, text: str) -> list[int]:
        """The tokens of a sample's text as the model reads them: at least one, at most `sample_max_length`."""
        tokens = self.tokenizer.encode(text, add_special_tokens=False)
        found = [*self._start(), *tokens][: self.sample_max_length]
        return found or [self.tokenizer.pad_token_id]

    def sample_length(self, sample: Sample) -> int:
        """How many tokens the text of a sample has before anything is cut off."""
        return len(self.tokenizer.encode(sample.text, add_special_tokens=False)) + len(self._start())

    def pixels(self, images: Sequence[ImageSource | None]) -> Tensor | None:
        """float[N, 3, H, W] of N images, zeros where there is none; None where there are none at all."""
        given = [number for number, image in enumerate(images) if image is not None]
        if not given:
            return None
        ready = torch.stack(each_image(self._pixels_of, [images[n] for n in given]))
        found = ready.new_zeros(len(images), *ready.shape[1:])
        found[given] = ready
        return found

    def pad(self, rows: Sequence[Sequence[int]], side: str) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` int64[B, T] of rows of ids, padded on `side`."""
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            place = slice(longest - len(row), longest) if side == "left" else slice(0, len(row))
            ids[number, place] = torch.tensor(row)
            mask[number, place] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def batch_decode(self, sequences: Tensor | Sequence[Sequence[int]], **kwargs: Any) -> list[str]:
        """The texts of rows of ids; placeholders are left out."""
        return [self.decode(row, **kwargs) for row in sequences]

    def decode(self, sequence: Tensor | Sequence[int], **kwargs: Any) -> str:
        """The text of a row of ids; placeholders are left out."""
        slots = (self.context_token_id, self.image_token_id)
        ids = [token for token in torch.as_tensor(sequence).tolist() if token not in slots]
        return str(self.tokenizer.decode(ids, **{"skip_special_tokens": True, **kwargs}))

    def _start(self) -> list[int]:
        """The token that begins every text, for the tokenizers that have one and use it."""
        bos = self.tokenizer.bos_token_id
        return [bos] if bos is not None and self.tokenizer("a")["input_ids"][0] == bos else []

    def _pixels_of(self, source: ImageSource | None) -> Tensor:
        pixels: Tensor = self.image_processor(self._open(source), return_tensors="pt")["pixel_values"][0]
        return pixels

    def _open(self, source: ImageSource | None) -> Image.Image:
        assert source is not None
        image = open_image(source)
        if self.image_aspect_ratio == "pad":
            return pad_to_square(image, mean_color(self.image_processor.image_mean))
        return middle_of_strip(image) if cuts_middle(self.image_processor) else image

    def _chat_template(self, messages: list[dict[str, str]]) -> str:
        begin = messages[-1]["role"] == "user"
        text = str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=begin))
        # templates of some models write the first token themselves; `tokenize` adds it for all
        return text.removeprefix(self.tokenizer.bos_token) if self._start() else text
