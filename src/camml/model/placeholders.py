"""Context tokens written over their placeholders, as the word embedding embeds a prompt.

Hooks of the word embedding do it, so that every vision-language model takes part without knowing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from camml.model.llava_parts import fill_places


@dataclass(eq=False, slots=True)
class _Delivery:
    """Context tokens float[R, L, D] on their way to the placeholders of one call with `rows` rows; see `delivering`."""

    words: nn.Module
    features: Tensor
    rows: int
    shortened: bool
    places: Tensor | None = None
    done: bool = False


# Each thread, and each task of an event loop, has a value of its own: two requests never meet.
_DELIVERY: ContextVar[_Delivery | None] = ContextVar("camml_delivery", default=None)


def watch(words: nn.Module, token_id: int) -> list[Any]:
    """Let a word embedding look out for placeholders; return the hooks, which stay for compiled models."""
    return [
        words.register_forward_pre_hook(partial(_before, token_id)),
        words.register_forward_hook(partial(_after, token_id)),
    ]


@contextmanager
def delivering(words: nn.Module, context: Tensor, rows: int, shortened: bool) -> Iterator[None]:
    """Have context tokens float[R, L, D] written over the placeholders of the next batch that `words` embeds.

    Args:
      words: the word embedding, which is watched.
      rows: of the batch, R of which have samples.
      shortened: a row may have fewer placeholders than L, for the first of its tokens.

    Raises:
      ValueError: the batch holds another number of placeholders, or nothing was embedded at all.
    """
    delivery = _Delivery(words, context, rows, shortened)
    token = _DELIVERY.set(delivery)
    try:
        yield
        if not delivery.done:
            raise ValueError("the model did not embed its input_ids with its word embedding: the samples got lost")
    finally:
        _DELIVERY.reset(token)


def _due(words: nn.Module, ids: Tensor) -> _Delivery | None:
    """Return what is to be written into a batch that `words` embeds, if anything."""
    if ids.dim() != 2 or ids.shape[1] < 2:  # a step of a generation, which compiles as a whole
        return None
    delivery = _DELIVERY.get()
    return None if delivery is None or delivery.done or delivery.words is not words else delivery


def _before(token_id: int, words: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Embed placeholders, which may lie outside the vocabulary, as another word."""
    if (delivery := _due(words, inputs[0])) is None:
        return None
    delivery.places = inputs[0] == token_id
    return (inputs[0].masked_fill(delivery.places, 0), *inputs[1:])


def _after(token_id: int, words: nn.Module, inputs: tuple[Any, ...], embeds: Tensor) -> Tensor | None:
    """Write the context tokens over them; where `generate` multiplies rows for beams, each keeps its own."""
    if (delivery := _due(words, inputs[0])) is None or delivery.places is None:
        return None
    delivery.done = True
    features = delivery.features.repeat_interleave(len(embeds) // delivery.rows, dim=0)
    if delivery.shortened:
        features = _first(features, delivery.places)
    return fill_places(embeds, delivery.places, token_id, features)


def _first(features: Tensor, places: Tensor) -> Tensor:
    """Return float[1, n, D]: of each row's tokens float[R, L, D] as many as it has `places`, bool[B, T]."""
    counts = places.sum(dim=1)
    counts = counts[counts > 0]
    if len(counts) != len(features) or bool((counts > features.shape[1]).any()):
        return features  # which do not fit, as is then said
    wanted = torch.arange(features.shape[1], device=counts.device) < counts[:, None]
    return features[wanted.to(features.device)][None]
