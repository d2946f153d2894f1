"""Prompts and rows that a vision-language model's processor writes one by one, put together to a batch."""

from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import ProcessorMixin

from camml.errors import InputError, OptionError
from camml.images import ImageSource, each_image, open_image

Inputs = Mapping[str, Tensor]


def write_prompt(writer: Any, messages: Sequence[Any], begin: bool, **given: Any) -> str:
    """Return what the chat template of a processor or a tokenizer makes of messages.

    Args:
      begin: append the generation prompt (`add_generation_prompt`).
      given: what else the template reads, such as `tools`.
    """
    if isinstance(writer, ProcessorMixin):
        # where it is empty, SmolVLM's adds settings for videos in a way that transformers warns of at every prompt
        given["processor_kwargs"] = {"return_tensors": "pt"}
    return str(writer.apply_chat_template(messages, tokenize=False, add_generation_prompt=begin, **given))


def check_arguments(processor: Any, names: Iterable[str]) -> None:
    """Raise an OptionError for an argument that a processor does not know, of which transformers' own only warn."""
    kinds = processor.valid_processor_kwargs.__annotations__
    parts = (getattr(processor, name) for name in processor.get_attributes() if hasattr(processor, name))
    others = [part.valid_kwargs for part in parts if getattr(part, "valid_kwargs", None)]
    known = {*signature(processor.__call__).parameters, *kinds}
    known |= {name for kind in (*kinds.values(), *others) for name in kind.__annotations__}
    if unknown := sorted(set(names) - known):
        choices = ", ".join(sorted(known - {"args", "kwargs"}))
        raise OptionError(f"{type(processor).__name__} has no argument {unknown[0]!r}; there are: {choices}")


def prepare_row(processor: Any, text: str, images: Sequence[ImageSource]) -> dict[str, Tensor]:
    """Return what a vision-language model's processor gives for one prompt and its images, in reading order.

    Raises:
      ImageError: an image cannot be used.
      InputError: the processor does not take so many images with a prompt; that of PaliGemma wants one at least.
    """
    opened = each_image(open_image, list(images))
    bos = getattr(processor, "tokenizer", processor).bos_token
    special = not (bos and text.startswith(bos))  # templates of some models write the first token themselves
    nested = [opened] if opened else None
    try:
        inputs = processor(images=nested, text=[text], return_tensors="pt", padding=False, add_special_tokens=special)
    except ValueError as error:
        kind = type(processor).__name__
        raise InputError(f"{kind} does not take a prompt with {len(images)} images: {error}") from error
    return {name: tensor for name, tensor in inputs.items() if name != "labels"}  # some give those of their own


def join(rows: Sequence[Inputs], pad_token: int, side: str) -> dict[str, Tensor]:
    """Return the inputs of B rows as those of one batch.

    What has a number for each token of the row is padded on `side`: `input_ids` with `pad_token`, all else with 0. What
    is about images goes one behind the other, padded with zeros where images are of different size, as processors do
    for a batch of their own.

    Args:
      rows: for each row `input_ids`, `attention_mask` int64[1, T], what else the processor gives for them, and inputs
        about its images, if it has any.
    """
    longest = max(row["input_ids"].shape[1] for row in rows)
    batch: dict[str, list[Tensor]] = {}
    for row in rows:
        length = row["input_ids"].shape[1]
        missing = (longest - length, 0) if side == "left" else (0, longest - length)
        for name, tensor in row.items():
            if _of_tokens(name, tensor, length):
                tensor = F.pad(tensor, missing, value=pad_token if name == "input_ids" else 0)
            batch.setdefault(name, []).append(tensor)
    return {name: stack(parts) for name, parts in batch.items()}


def cut(row: Inputs, length: int) -> dict[str, Tensor]:
    """Return the inputs of a row with its first `length` tokens alone; what is about images stays as it is."""
    whole = row["input_ids"].shape[1]
    return {name: tensor[:, :length] if _of_tokens(name, tensor, whole) else tensor for name, tensor in row.items()}


def _of_tokens(name: str, tensor: Tensor, length: int) -> bool:
    """Return whether an input has a number for each of the `length` tokens of its row."""
    return tensor.dim() == 2 and tensor.shape == (1, length) and not name.startswith("pixel")


def stack(parts: Sequence[Tensor]) -> Tensor:
    """Return tensors [n, ...] as one [sum of n, ...], padded with zeros to the largest size of each other dimension."""
    sizes = [max(part.shape[dimension] for part in parts) for dimension in range(1, parts[0].dim())]
    padded = []
    for part in parts:
        missing = [size - own for size, own in zip(sizes, part.shape[1:], strict=True)]
        padded.append(F.pad(part, [n for amount in reversed(missing) for n in (0, amount)]))
    return torch.cat(padded)
