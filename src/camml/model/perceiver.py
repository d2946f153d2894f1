"""The hierarchical perceiver: any number of samples in, a fixed number of context tokens out."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from camml.errors import OptionError
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


class ContextPerceiver(nn.Module):
    """Samples to context tokens, in two steps: each sample on its own, then all samples of a question together.

    The first step does not depend on the question, so its result can be kept.

    Source: CaMML (ACL 2024), section 3.2.
    """

    def __init__(self, config: CamMLConfig) -> None:
        super().__init__()
        width, text_width = config.perceiver_hidden_size, config.hidden_size
        self.image_in = nn.Linear(text_width, width)
        self.text_in = nn.Linear(text_width, width)
        self.vision_perceiver = Perceiver(config)
        self.language_perceiver = Perceiver(config)
        self.context_perceiver = Perceiver(config)
        self.vision_queries = nn.Parameter(torch.zeros(1, config.perceiver_queries, width))
        self.text_queries = nn.Parameter(torch.zeros(1, config.perceiver_queries, width))
        self.vision_out = nn.Linear(width, text_width)
        self.text_out = nn.Linear(width, text_width)
        # how loudly positions speak; learned, since the width and scale of the embeddings differ from model to model
        self.word_position = nn.Parameter(torch.zeros(width)) if config.perceiver_positions else None
        self.sample_position = nn.Parameter(torch.zeros(width)) if config.perceiver_positions else None
        self.run_on, self.heads = config.perceiver_run_on, config.perceiver_heads
        if self.run_on and not len(word_waves(width, self.heads)):
            raise OptionError(
                f"perceiver_run_on needs perceivers wide enough to move places: perceiver_hidden_size is {width}, with "
                f"{self.heads} heads"
            )

    def forward(self, step: Callable[..., Any], *inputs: Tensor) -> Any:
        """Return what one of the two steps gives.

        Both are calls of this module, so that what others put before and after such calls is done for its own
        parameters too: weights that wait on a disk are fetched, those of sharded training are gathered.
        """
        return step(*inputs)

    def encode_samples(
        self, image_features: Tensor, image_mask: Tensor, text_embeds: Tensor, text_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what each sample is by itself: float[S, Lv, P] from its image, float[S, Lt, P] from its text.

        Args:
          image_features: float[S, Lv, D].  image_mask: bool[S, Lv], False on padding, and where there is no image.
          text_embeds: float[S, Lt, D].  text_mask: bool[S, Lt], False on padding.
        """
        seen, read = self(self._encode_samples, image_features, image_mask, text_embeds, text_mask)
        return seen, read

    def _encode_samples(
        self, image_features: Tensor, image_mask: Tensor, text_embeds: Tensor, text_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        images, texts = self.image_in(image_features), self.text_in(text_embeds)
        if self.word_position is not None:
            images, texts = (self._placed(states, self.word_position) for states in (images, texts))
        seen = self.vision_perceiver(images, texts, image_mask, text_mask)
        read = self.language_perceiver(texts, images, text_mask, image_mask)
        return seen, read

    @staticmethod
    def _placed(states: Tensor, gain: Tensor) -> Tensor:
        """Return `states` float[S, L, P] that know their place in the sample."""
        places = torch.arange(states.shape[1], device=states.device)
        return states + gain * sinusoids(places, states.shape[2]).to(states.dtype)

    def compress(self, seen: Tensor, seen_mask: Tensor, read: Tensor, read_mask: Tensor) -> Tensor:
        """Return the context tokens float[B, 2 M, D] of rows of samples: M from their images, then M from their texts.

        Args:
          seen: float[B, N, Lv, P].  seen_mask: bool[B, N, Lv].  read: float[B, N, Lt, P].  read_mask: bool[B, N, Lt].
        """
        tokens: Tensor = self(self._compress, seen, seen_mask, read, read_mask)
        return tokens

    def _compress(self, seen: Tensor, seen_mask: Tensor, read: Tensor, read_mask: Tensor) -> Tensor:
        if self.sample_position is not None:
            ranks = torch.arange(seen.shape[1], device=seen.device)
            places = (self.sample_position * sinusoids(ranks, seen.shape[3]).to(seen.dtype))[:, None, :]
            seen, read = seen + places, read + places
        if self.run_on:
            read = self._shifted(read, self._starts(seen_mask, read_mask))
        rows = len(seen)
        vision = self.context_perceiver(
            self.vision_queries.expand(rows, -1, -1), seen.flatten(1, 2), None, seen_mask.flatten(1)
        )
        text = self.context_perceiver(
            self.text_queries.expand(rows, -1, -1), read.flatten(1, 2), None, read_mask.flatten(1)
        )
        return torch.cat([self.vision_out(vision), self.text_out(text)], dim=1)

    def _starts(self, seen_mask: Tensor, read_mask: Tensor) -> Tensor:
        """Return int64[B, N]: the place in the whole context of each sample's first word.

        The first M words of the nearest sample come by its image. Where it has none they are looked for M places
        later, among the words that come by texts; where it has fewer, the next sample starts at place M all the same.
        """
        queries, lengths = self.text_queries.shape[1], read_mask.sum(dim=2)
        first = queries * ~seen_mask[:, 0].any(dim=1)
        second = (first + lengths[:, 0]).clamp(min=queries)
        lengths = torch.cat([first[:, None], (second - first)[:, None], lengths[:, 1:-1]], dim=1)
        return lengths.cumsum(dim=1)[:, : read_mask.shape[1]]

    def _shifted(self, states: Tensor, starts: Tensor) -> Tensor:
        """Return `states` float[B, N, L, P] whose words are `starts` int64[B, N] places further.

        A place is angles of waves, so a later place is a turn of these (as in rotary embeddings, Su et al. 2021).
        """
        width = states.shape[3]
        waves = word_waves(width, self.heads).to(states.device)
        angles = starts[..., None, None] * rates(width, states.device)[waves]
        sine, cosine = angles.sin().to(states.dtype), angles.cos().to(states.dtype)
        sines, cosines = states[..., waves], states[..., width // 2 + waves]
        turned = torch.cat([sines * cosine + cosines * sine, cosines * cosine - sines * sine], dim=3)
        return states.index_copy(3, torch.cat([waves, width // 2 + waves]), turned)


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
