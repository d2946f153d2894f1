"""The ways of features: into placeholders of a row, into places of a padded batch, and on to the language model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from camml.errors import OptionError


def fill_placeholders(embeds: Tensor, input_ids: Tensor, token_id: int, features: Tensor) -> Tensor:
    """Return `embeds` with `features` written where `input_ids` holds `token_id`, in reading order.

    Args:
      embeds: float[B, T, D].  input_ids: int64[B, T].
      features: float[N, L, D]; the batch holds N * L placeholders in all.

    Raises:
      ValueError: the batch holds another number of placeholders.
    """
    return _fill(embeds, input_ids == token_id, token_id, features)


def _fill(embeds: Tensor, places: Tensor, token_id: int, features: Tensor) -> Tensor:
    wanted, given = int(places.sum()), features.shape[0] * features.shape[1]
    if wanted != given:
        raise ValueError(f"{wanted} placeholders with token id {token_id}, but features for {given}")
    return embeds.masked_scatter(places[..., None], features.to(embeds))


def spread(values: Tensor, places: Tensor) -> Tensor:
    """Return float[B, N, ...] with `values` float[S, ...] where `places` bool[B, N] is True, and zeros elsewhere."""
    return values.new_zeros(*places.shape, *values.shape[1:]).index_put(tuple(places.nonzero().T), values)


@dataclass(eq=False, slots=True)
class _Delivery:
    """Context tokens float[R, L, D] on their way to the placeholders of one call with `rows` rows."""

    words: nn.Module
    features: Tensor
    rows: int
    places: Tensor | None = None
    done: bool = False


# Each thread, and each task of an event loop, has a value of its own: two requests never meet.
_DELIVERY: ContextVar[_Delivery | None] = ContextVar("camml_delivery", default=None)


@contextmanager
def delivered(words: nn.Module, features: Tensor, rows: int) -> Iterator[None]:
    """Let the word embedding `words` write `features` float[R, L, D] at the placeholders of the next batch it embeds.

    `watch` must have been called on `words` before.

    Args:
      rows: of the batch; where `generate` multiplies them for beams or several answers, each keeps its features.

    Raises:
      ValueError: the batch holds another number of placeholders, or nothing was embedded at all.
    """
    delivery = _Delivery(words, features, rows)
    token = _DELIVERY.set(delivery)
    try:
        yield
        if not delivery.done:
            raise ValueError("the model did not embed its input_ids with its word embedding: the samples got lost")
    finally:
        _DELIVERY.reset(token)


def watch(words: nn.Module, token_id: int) -> list[RemovableHandle]:
    """Let the word embedding `words` look out for the placeholder `token_id`; see `delivered`.

    A placeholder may lie outside the vocabulary, so it is embedded as another word before it is overwritten.
    """
    return [
        words.register_forward_pre_hook(partial(_before, token_id)),
        words.register_forward_hook(partial(_after, token_id)),
    ]


def _before(token_id: int, words: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if inputs[0].dim() != 2 or inputs[0].shape[1] < 2:  # a step of a generation, which compiles as a whole
        return None
    delivery = _DELIVERY.get()
    if delivery is None or delivery.done or delivery.words is not words:
        return None
    delivery.places = inputs[0] == token_id
    return (inputs[0].masked_fill(delivery.places, 0), *inputs[1:])


def _after(token_id: int, words: nn.Module, inputs: tuple[Any, ...], embeds: Tensor) -> Tensor | None:
    if embeds.dim() != 3 or embeds.shape[1] < 2:
        return None
    delivery = _DELIVERY.get()
    if delivery is None or delivery.done or delivery.words is not words or delivery.places is None:
        return None
    delivery.done = True
    features = delivery.features.repeat_interleave(len(embeds) // delivery.rows, dim=0)
    return _fill(embeds, delivery.places, token_id, features)


def holding(model: nn.Module, words: nn.Module) -> nn.Module:
    """Return the smallest model inside a model that holds the word embedding `words`, with the layers that read it."""
    models = (module for module in model.modules() if isinstance(module, PreTrainedModel))
    return cast(nn.Module, [part for part in models if any(module is words for module in part.modules())][-1])


class _Read(Exception):
    """The arguments that a language model was about to read."""


_READING: ContextVar[object] = ContextVar("camml_reading", default=None)


def read_embeddings(vlm: nn.Module, language: nn.Module, inputs: Mapping[str, Any]) -> Tensor:
    """Return what the language model inside a vision-language model reads: float[B, T, D]; its layers do not run.

    Raises:
      OptionError: it reads more than embeddings whose places follow one another.
    """
    mine = object()

    def stop(_: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        if _READING.get() is mine:  # another thread may run the same model
            raise _Read(named)

    token, handle = _READING.set(mine), language.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        vlm(**inputs)
    except _Read as read:
        given: dict[str, Any] = read.args[0]
    else:
        raise OptionError("its language model is not run with named arguments")
    finally:
        handle.remove()
        _READING.reset(token)
    if (reason := _more_than_embeddings(given)) is not None:
        raise OptionError(reason)
    embeds: Tensor = given["inputs_embeds"]
    return embeds


def _more_than_embeddings(given: Mapping[str, Any]) -> str | None:
    """Return what the arguments of a language model hold besides embeddings, if anything."""
    places, mask = given.get("position_ids"), given.get("attention_mask")
    if isinstance(places, Tensor) and places.dim() != 2:
        return "its positions have several axes"
    if isinstance(mask, Mapping) or (isinstance(mask, Tensor) and mask.dim() != 2):
        return "some tokens see those behind them"
    if isinstance(places, Tensor) and bool((places != torch.arange(places.shape[1], device=places.device)).any()):
        return "its positions do not count from 0"
    usual = ("inputs_embeds", "attention_mask", "position_ids", "cache_position")
    for name, value in given.items():
        parts = value if isinstance(value, list | tuple) else [value]
        if name not in usual and any(isinstance(part, Tensor) for part in parts):
            return f"its layers read {name} besides"
    return None if isinstance(given.get("inputs_embeds"), Tensor) else "it reads no embeddings"
