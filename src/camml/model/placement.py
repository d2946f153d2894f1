"""The ways of features: into placeholders of a row, and into places of a padded batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


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
