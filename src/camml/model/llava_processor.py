"""The processor of a `LlavaPartsForConditionalGeneration`: prepares its text and images.

Unlike others it opens the images of a row only as a batch is made, so that a run which keeps what the tower gives for
them need not open them at all, and puts placeholders into ids rather than text, as the published code does.
"""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from itertools import chain
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchFeature, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import load_image
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from camml import prompts
from camml.errors import ImageError, InputError, OptionError
from camml.images import ImageSource, cuts_middle, each_image, mean_color, middle_of_strip, open_image, pad_to_square
from camml.passages import Span
from camml.prompts import split

FeaturesOf = Callable[[Sequence[ImageSource | None]], Tensor]
"""float[N, Lv, W] that the vision tower gives for N images, zeros where there is none; kept from an earlier run."""

PARTS_TO_TEXTS = (
    "{%- set told = namespace(messages=[]) -%}{%- for message in messages -%}"
    "{%- if message.content and message.content is not string -%}"
    "{%- set text -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}" + prompts.IMAGE + "{%- else -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}{%- endset -%}"
    "{%- set message = dict(message, content=text) -%}{%- endif -%}"
    "{%- set told.messages = told.messages + [message] -%}{%- endfor -%}{%- set messages = told.messages -%}"
)
"""The beginning of a chat template that is given messages of parts and knows only those of texts."""


class LlavaPartsProcessor(ProcessorMixin):
    """Writes one placeholder for each image token, so that a sequence has its final length.

    In a prompt the character `camml.prompts.IMAGE` stands for an image. No text of a user holds it. `slots` has the ids
    of this character, and of others that somebody adds to them.

    Args:
      image_processor, tokenizer: of the vision tower and the language model.
      image_tokens, image_token_id: how many placeholders an image gets, and which; the model's configuration has both.
      image_aspect_ratio: `pad` an image to a square in the tower's mean colour, or `keep` it as it is.
    """

    def __init__(
        self,
        image_processor: BaseImageProcessor,
        tokenizer: PreTrainedTokenizerBase,
        image_tokens: int = 576,
        image_token_id: int = 32001,
        image_aspect_ratio: str = "pad",
        **kwargs: Any,
    ) -> None:
        if image_aspect_ratio not in ("pad", "keep"):
            raise OptionError(f"no image_aspect_ratio {image_aspect_ratio!r}; there are: pad, keep")
        self.image_tokens = image_tokens
        self.image_token = prompts.IMAGE
        self.image_token_id = image_token_id
        self.image_aspect_ratio = image_aspect_ratio
        self.slots = {prompts.IMAGE: [image_token_id] * image_tokens}
        set_pad_token(tokenizer)
        super().__init__(
            image_processor, tokenizer, chat_template=kwargs.pop("chat_template", None) or tokenizer.chat_template
        )

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        """Return the class that a part must have, as transformers does; for that it imports every kind of tokenizer.

        Raises:
          TypeError: the part is of another class.
        """
        kinds = {"tokenizer": PreTrainedTokenizerBase, "image_processor": BaseImageProcessor}
        kind = kinds.get(argument_name)
        if kind is not None and isinstance(argument, kind):
            return kind
        return super().check_argument_for_proper_class(argument_name, argument)

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] = "",
        padding: bool = True,
        padding_side: str = "left",
        return_tensors: str = "pt",
        add_special_tokens: bool = True,
        videos: None = None,
        audio: None = None,
    ) -> BatchFeature:
        """Return the inputs of the model for B prompts.

        Args:
          images: the images of the prompts in reading order.
          text: B prompts, as `apply_chat_template` writes them.
          padding, return_tensors: rows are always padded, and tensors always PyTorch's.
          add_special_tokens: ignored; the template decides.
          videos, audio: None, as callers for any model give them; this one knows neither.

        Returns:
          `input_ids`, `attention_mask` int64[B, T]; for N images in all `pixel_values` float[N, 3, H, W].

        Raises:
          OptionError: `return_tensors` is not "pt".
          InputError: images and places for them are not of the same number, or there are videos or audio.
          ImageError: an image cannot be used.
        """
        if return_tensors not in (None, "pt"):
            raise OptionError(f"return_tensors is {return_tensors!r}; it can be: pt")
        if videos or audio:
            raise InputError("this model takes texts and images; give neither videos nor audio")
        rows = [text] if isinstance(text, str) else list(text)
        given = _flat(images)
        check_places("".join(rows), given)
        if bos := first_tokens(self.tokenizer) and self.tokenizer.bos_token:  # some chat templates write it too
            rows = [row.removeprefix(bos) for row in rows]
        inputs = pad([self.tokenize(row) for row in rows], padding_side, self.tokenizer.pad_token_id)
        return BatchFeature(inputs | self.image_inputs(given))

    def apply_chat_template(self, conversation: Any, chat_template: str | None = None, **kwargs: Any) -> Any:
        """Render messages as transformers does, for templates too that know no parts of messages.

        Pipelines give arguments of `generate` too, which transformers would hand on to `__call__`: they are left out.
        """
        template = PARTS_TO_TEXTS + (chat_template or self.chat_template)
        ours, theirs = signature(self.__call__).parameters, signature(super().apply_chat_template).parameters
        known = {name: value for name, value in kwargs.items() if name in ours or name in theirs or name in template}
        return super().apply_chat_template(conversation, template, **known)

    def row(self, prompt: str, images: Sequence[ImageSource]) -> dict[str, Any]:
        """Return what the model needs for one prompt, before it is put together with others by `join`.

        Raises:
          InputError: the prompt has places for another number of images.
        """
        check_places(prompt, images)
        return {"input_ids": self.tokenize(prompt), "images": list(images)}

    def join(
        self, rows: Sequence[Mapping[str, Any]], padding_side: str, features_of: FeaturesOf | None = None
    ) -> dict[str, Tensor]:
        """Return rows, as `row` gives them, as the inputs of one batch; no image is opened before.

        Raises:
          ImageError: an image cannot be used.
        """
        inputs = pad([row["input_ids"] for row in rows], padding_side, self.tokenizer.pad_token_id)
        return inputs | self.image_inputs([image for row in rows for image in row["images"]], features_of)

    def image_inputs(self, images: Sequence[ImageSource], features_of: FeaturesOf | None = None) -> dict[str, Tensor]:
        """Return `{"pixel_values": ...}`, or `{"image_features": ...}` if features are cached.

        With no image, the first is empty, and the second has the features of one missing image.
        """
        if features_of is not None:
            return {"image_features": features_of(images or [None])}
        return {"pixel_values": self.pixels(images)} if images else {}

    def tokenize(self, prompt: str) -> list[int]:
        """Return the ids of a prompt, placeholders in place; every piece between them is tokenized by itself.

        Source: the published code does the same, and for sentencepiece vocabularies it makes a difference.
        """
        pieces = (
            self.slots.get(piece) or self.tokenizer.encode(piece, add_special_tokens=False) for piece in split(prompt)
        )
        return [*first_tokens(self.tokenizer), *chain.from_iterable(pieces)]

    def tokens(self, prompt: str) -> list[tuple[int, Span]]:
        """Return the ids of a prompt as `tokenize` does, each with the characters it stands for.

        Raises:
          OptionError: the tokenizer does not say where its tokens stand.
        """
        place = 0
        row = [(token, (0, 0)) for token in first_tokens(self.tokenizer)]
        for piece in split(prompt):
            if piece in self.slots:
                row += [(token, (place, place)) for token in self.slots[piece]]
            else:
                row += offsets(self.tokenizer, piece, place)
            place += len(piece)
        return row

    def pixels(self, images: Sequence[ImageSource]) -> Tensor:
        """Return float[N, 3, H, W] of N images."""
        return torch.stack(each_image(self._pixels_of, list(images)))

    def _pixels_of(self, source: ImageSource) -> Tensor:
        pixels: Tensor = self.image_processor(self._open(source), return_tensors="pt")["pixel_values"][0]
        return pixels

    def _open(self, source: ImageSource) -> Image.Image:
        image = open_image(source)
        if self.image_aspect_ratio == "pad":
            return pad_to_square(image, mean_color(self.image_processor.image_mean))
        return middle_of_strip(image) if cuts_middle(self.image_processor) else image


def check_places(prompt: str, images: Sequence[Any]) -> None:
    """Raise an InputError unless a prompt has a place for each of some images."""
    if (places := prompt.count(prompts.IMAGE)) != len(images):
        raise InputError(f"{len(images)} images for {places} places in the prompt; each wants one")


def pad(rows: Sequence[Sequence[int]], side: str, token: int) -> dict[str, Tensor]:
    """Return `input_ids` and `attention_mask` int64[B, T] of rows of ids, padded with `token` on `side`."""
    ids = [torch.tensor(row, dtype=torch.long) for row in rows]
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=token, padding_side=side),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True, padding_side=side),
    }


def set_pad_token(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a tokenizer that has no token for padding one; it is masked wherever it stands, so any would do."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token


def first_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the token that begins every text, for the tokenizers that have one and use it."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer("a")["input_ids"][0] == bos else []


def offsets(tokenizer: PreTrainedTokenizerBase, text: str, start: int = 0) -> list[tuple[int, Span]]:
    """Return the tokens of a text, without a first one, each with the characters it stands for, counted from `start`.

    Raises:
      OptionError: the tokenizer does not say where its tokens stand.
    """
    if not tokenizer.is_fast:
        raise OptionError(f"{type(tokenizer).__name__} does not say where its tokens stand; take the fast tokenizer")
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return [
        (token, (start + first, start + last))
        for token, (first, last) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def _flat(images: Any) -> list[ImageSource]:
    """Return images of nested lists in reading order; those that are named as messages name them are loaded."""
    if images is None:
        return []
    if isinstance(images, list | tuple):
        return [image for part in images for image in _flat(part)]
    try:
        return [load_image(images) if isinstance(images, str) else images]
    except (OSError, ValueError) as error:
        raise ImageError(f"an image of a message cannot be used: {error}") from None
