"""Attention for many answers at once in one row of tokens: each looks at its own keys and values, and at no others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import local
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, Cache, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from camml.serving.engines._slots import Block

NAME = "camml_slots"
"""What models call this attention."""

_here = local()


class Segment:
    """Tokens that lie together in the row: the next one of several answers of a block, or the next ones of one.

    Args:
      first, rows: which rows of the block.
      tokens: of each row; more than one for a single row only.
    """

    def __init__(self, block: Block, first: int, rows: int, tokens: int) -> None:
        counts = [row.count for row in block.rows[first : first + rows]]
        self.size = rows * tokens
        self.rows = block.rows[first : first + rows]
        self._block = block
        self._first, self._count, self._tokens = first, rows, tokens
        self._seen = max(counts) + tokens
        device = block.device
        self._starts = counts
        self._places = torch.tensor(counts, device=device)
        self._numbers = torch.arange(first, first + rows, device=device)
        self.mask: Tensor | None = None
        if tokens > 1:
            every = torch.arange(self._seen, device=device)
            self.mask = (every <= every[counts[0] : counts[0] + tokens, None])[None, None]
        elif len(set(counts)) > 1:
            self.mask = (torch.arange(self._seen, device=device) <= self._places[:, None])[:, None, None]

    def positions(self) -> list[int]:
        """Return the place of each token in its own text."""
        return [start + step for start in self._starts for step in range(self._tokens)]

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Keep the keys and values float[1, heads, size, width] of these tokens."""
        for stored, new in ((self._block.keys[layer], keys), (self._block.values[layer], values)):
            if self._tokens == 1:
                stored[self._numbers, :, self._places] = new[0].transpose(0, 1)
            else:
                start = self._starts[0]
                stored[self._first, :, start : start + self._tokens] = new[0]

    def attend(self, module: Any, query: Tensor, layer: int, options: dict[str, Any]) -> Tensor:
        """Return what the tokens see, float[1, size, heads, width], for their queries float[1, heads, size, width]."""
        rows = slice(self._first, self._first + self._count)
        keys = self._block.keys[layer][rows, :, : self._seen]
        values = self._block.values[layer][rows, :, : self._seen]
        if self._tokens == 1:
            query = query.transpose(0, 2)
        seen, _ = sdpa_attention_forward(module, query, keys, values, self.mask, **options)
        return seen.reshape(1, self.size, *seen.shape[2:])


class Window(Cache):
    """The keys and values that one run of a model writes, and looks at."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__(layers=[])
        self.segments = segments

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the keys and values of one layer; the attention below reads them where they are."""
        place = 0
        for segment in self.segments:
            end = place + segment.size
            segment.write(layer_idx, key_states[:, :, place:end], value_states[:, :, place:end])
            place = end
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return 0: places are always given, so no model counts from it."""
        return 0

    def end(self) -> None:
        """Count the tokens that were written."""
        for segment in self.segments:
            for row in segment.rows:
                row.count += segment.size // len(segment.rows)


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Return what every token sees; outside of a `Window` as transformers has it."""
    window: Window | None = getattr(_here, "window", None)
    if window is None:
        seen, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return seen, None
    options["is_causal"] = False
    parts, place = [], 0
    for segment in window.segments:
        end = place + segment.size
        parts.append(segment.attend(module, query[:, :, place:end], module.layer_idx, options))
        place = end
    return torch.cat(parts, dim=1), None


@contextmanager
def looking(window: Window) -> Iterator[None]:
    """Let models in this thread attend within a window."""
    _here.window = window
    try:
        yield
    finally:
        _here.window = None


def run(model: PreTrainedModel, window: Window, embeds: Tensor, keep: Sequence[int]) -> Tensor:
    """Return the logits float[n, V] after the tokens at the places `keep` of a row of embeddings float[N, D]."""
    device = embeds.device
    places = [place for segment in window.segments for place in segment.positions()]
    with looking(window):
        output = model(
            inputs_embeds=embeds[None],
            # four dimensions: a mask that is made already, which nobody looks at
            attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device),
            position_ids=torch.tensor([places], device=device),
            past_key_values=window,
            use_cache=True,
            logits_to_keep=torch.tensor(keep, dtype=torch.long, device=device),
        )
    window.end()
    logits: Tensor = output.logits[0]
    return logits


def use(model: PreTrainedModel) -> None:
    """Let a model attend this way from now on."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
