"""The parts of the perceivers: layers that read keys, and the places of words and samples."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from camml.model.config import CamMLConfig

RANK_WAVES = 4
"""Of the waves that tell places apart, those that tell samples apart; the others tell words apart."""

SLOWEST = 0.3
"""Radians a place: slower waves hardly tell a place from the next one."""


class Attention(nn.Module):
    """Multi-head attention with biases, over keys of which some may be padding."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, key_mask: Tensor | None) -> Tensor:
        """Return float[S, Lq, P] for `queries` float[S, Lq, P] over `keys` float[S, Lk, P].

        `key_mask` bool[S, Lk] is False on padding, None where there is none. A row without any key attends to
        nothing: its result is the output bias alone.
        """
        query, key, value = self._split(self.query(queries)), self._split(self.key(keys)), self._split(self.value(keys))
        dropout = self.dropout if self.training else 0.0
        mask, empty = None, None
        if key_mask is not None:
            # softmax over no key at all is undefined: such rows attend freely, and the result is put to zero
            empty = ~key_mask.any(dim=1)
            mask = (key_mask | empty[:, None])[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        mixed = mixed.transpose(1, 2).flatten(2)
        if empty is not None:
            mixed = mixed.masked_fill(empty[:, None, None], 0.0)
        return self.output(mixed)

    def _split(self, states: Tensor) -> Tensor:
        """Return float[S, heads, L, P / heads]."""
        return states.unflatten(2, (self.heads, -1)).transpose(1, 2)


class PerceiverLayer(GradientCheckpointingLayer):
    """Self-attention, on some layers cross-attention, feed-forward; each `LayerNorm(x + sublayer(x))`.

    With gradient checkpointing a layer keeps its input alone for the backward pass.
    """

    def __init__(self, config: CamMLConfig, *, cross: bool) -> None:
        super().__init__()
        width, dropout = config.perceiver_hidden_size, config.perceiver_dropout
        self.self_attention = Attention(width, config.perceiver_heads, dropout)
        self.self_norm = nn.LayerNorm(width, eps=1e-12)
        self.cross_attention = Attention(width, config.perceiver_heads, dropout) if cross else None
        self.cross_norm = nn.LayerNorm(width, eps=1e-12) if cross else None
        self.expand = nn.Linear(width, config.perceiver_intermediate_size)
        self.contract = nn.Linear(config.perceiver_intermediate_size, width)
        self.feed_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, keys: Tensor, state_mask: Tensor | None, key_mask: Tensor | None) -> Tensor:
        """Return float[S, Lq, P] for `states` float[S, Lq, P] and `keys` float[S, Lk, P]."""
        states = self.self_norm(states + self.dropout(self.self_attention(states, states, state_mask)))
        if self.cross_attention is not None and self.cross_norm is not None:
            states = self.cross_norm(states + self.dropout(self.cross_attention(states, keys, key_mask)))
        return self.feed_norm(states + self.dropout(self.contract(F.gelu(self.expand(states)))))


class Perceiver(nn.Module):
    """A stack of layers in which queries gather from keys; the keys stay as they come."""

    def __init__(self, config: CamMLConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.perceiver_hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(config.perceiver_dropout)
        self.layers = nn.ModuleList(
            PerceiverLayer(config, cross=number % 2 == 0) for number in range(config.perceiver_layers)
        )

    def forward(
        self, queries: Tensor, keys: Tensor, query_mask: Tensor | None = None, key_mask: Tensor | None = None
    ) -> Tensor:
        """Return float[S, Lq, P] for `queries` float[S, Lq, P] and `keys` float[S, Lk, P]; masks: False on padding."""
        states = self.dropout(self.norm(queries))
        for layer in self.layers:
            states = layer(states, keys, query_mask, key_mask)
        return states


def rates(width: int, device: torch.device | None = None) -> Tensor:
    """Return float32[width // 2]: by how many radians a place each wave of `sinusoids` goes on."""
    return torch.exp(torch.arange(width // 2, device=device) * -_decay(width))


def word_waves(width: int, heads: int) -> Tensor:
    """Return int64[W]: the waves that tell words apart, fast ones, no more than one head can look at."""
    # counted without tensors, as a model that is being loaded has none with values yet
    fast = sum(math.exp(-number * _decay(width)) > SLOWEST for number in range(width // 2))
    pairs = min(width // heads // 2, fast)
    return torch.arange(RANK_WAVES, max(pairs, RANK_WAVES))


def _decay(width: int) -> float:
    """Return by what power of e each wave of `sinusoids` is slower than the one before."""
    return math.log(10_000.0) / max(width // 2 - 1, 1)


def sinusoids(places: Tensor, width: int) -> Tensor:
    """Return float32[N, width] that tells `places` (numbers[N]) apart, for places without limit.

    Source: Vaswani et al. (2017), section 3.5.
    """
    angles = places[:, None].float() * rates(width, places.device)
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, width % 2))


def places_of_texts(seen_mask: Tensor, read_mask: Tensor, queries: int) -> Tensor:
    """Return int64[B, N]: the position of each sample's first word in the whole context, for continuous positions.

    The first `queries` words of the nearest sample come by its image. Where it has none they are looked for so many
    places later, among the words that come by texts; where it has fewer, the next sample starts there all the same.

    Args:
      seen_mask: bool[B, N, Lv].  read_mask: bool[B, N, Lt].
    """
    lengths = read_mask.sum(dim=2)
    first = queries * ~seen_mask[:, 0].any(dim=1)
    second = (first + lengths[:, 0]).clamp(min=queries)
    lengths = torch.cat([first[:, None], (second - first)[:, None], lengths[:, 1:-1]], dim=1)
    return lengths.cumsum(dim=1)[:, : read_mask.shape[1]]


def places_in_context(read_mask: Tensor) -> Tensor:
    """Return int64[B, N]: the position of each sample's first word where all samples are as one text.

    Args:
      read_mask: bool[B, N, Lt], False on padding.
    """
    lengths = read_mask.sum(dim=2)
    return lengths.cumsum(dim=1) - lengths


def carrying(read_mask: Tensor, patches: int) -> Tensor:
    """Return bool[B, N, Lv], False on the patches that carry no word of their sample, where another sample follows:
    its patches have the same places.

    Args:
      read_mask: bool[B, N, Lt], False on padding.
      patches: Lv.
    """
    lengths = read_mask.sum(dim=2, keepdim=True)
    following = lengths.flip(1).cumsum(dim=1).flip(1) - lengths
    return (torch.arange(patches, device=lengths.device) < lengths) | (following == 0)


def turned(states: Tensor, places: Tensor, heads: int) -> Tensor:
    """Return `states` float[B, N, L, P] whose words are `places` int64[B, N] further.

    A place is angles of waves, so a later place is a turn of these (as in rotary embeddings, Su et al. 2021).
    """
    width = states.shape[3]
    waves = word_waves(width, heads).to(states.device)
    angles = places[..., None, None] * rates(width, states.device)[waves]
    sine, cosine = angles.sin().to(states.dtype), angles.cos().to(states.dtype)
    sines, cosines = states[..., waves], states[..., width // 2 + waves]
    moved = torch.cat([sines * cosine + cosines * sine, cosines * cosine - sines * sine], dim=3)
    return states.index_copy(3, torch.cat([waves, width // 2 + waves]), moved)
