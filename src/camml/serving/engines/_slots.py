"""Keys and values of many answers at once, each in a slot of its own, so that answers come and go between steps."""

from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache

GROWTH = 128
"""Tokens by which slots are lengthened at least."""


class Slots(Cache):
    """A cache whose first rows are in use, each with as many tokens as it has.

    Row r of a step is slot r. A slot that is given back takes over the last one in use, so that a step never looks at
    an empty one, and neither coming nor going touches the others.

    Args:
      length: tokens that each slot has room for from the start; more is made where an answer needs it.
    """

    def __init__(self, slots: int, device: torch.device, length: int = GROWTH) -> None:
        super().__init__(layers=[])
        self.slots = slots
        self.length = length
        self.used = 0
        self.counts = torch.zeros(slots, dtype=torch.long, device=device)
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._rows = torch.arange(slots, device=device)
        self._longest = 0

    def put(self, cache: DynamicCache, row: int, tokens: int) -> int:
        """Take the last `tokens` of a row of another cache into a new slot, and say which."""
        if not self._keys:
            for layer in cache.layers:
                heads, width = layer.keys.shape[1], layer.keys.shape[3]
                self._keys.append(layer.keys.new_zeros(self.slots, heads, self.length, width))
                self._values.append(layer.values.new_zeros(self.slots, heads, self.length, layer.values.shape[3]))
        slot = self.used
        self._reserve(tokens)
        for layer, keys, values in zip(cache.layers, self._keys, self._values, strict=True):
            keys[slot, :, :tokens] = layer.keys[row, :, -tokens:]
            values[slot, :, :tokens] = layer.values[row, :, -tokens:]
        self.counts[slot] = tokens
        self.used += 1
        return slot

    def free(self, slot: int) -> int:
        """Give a slot back; the slot whose answer now lives in it (itself, if there was no other to move)."""
        last = self.used - 1
        if slot != last:
            count = int(self.counts[last])
            for stored in (*self._keys, *self._values):
                stored[slot, :, :count] = stored[last, :, :count]
            self.counts[slot] = count
        self.used = last
        return last

    def begin_step(self) -> tuple[Tensor, Tensor]:
        """Room for one more token in each used slot: its place int64[n, 1], and what it sees bool[n, 1, 1, T]."""
        places = self.counts[: self.used]
        self._longest = int(places.max()) + 1
        self._reserve(self._longest)
        seen = torch.arange(self._longest, device=places.device) <= places[:, None]
        return places[:, None], seen[:, None, None]

    def end_step(self) -> None:
        """Count the tokens that the step has written."""
        self.counts[: self.used] += 1

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write one token of every used slot; all keys and values of one layer, float[n, heads, T, width]."""
        keys, values, n = self._keys[layer_idx], self._values[layer_idx], self.used
        rows, places = self._rows[:n], self.counts[:n]
        keys[rows, :, places] = key_states[:, :, 0]
        values[rows, :, places] = value_states[:, :, 0]
        return keys[:n, :, : self._longest], values[:n, :, : self._longest]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens of the longest answer; places are always given, so no model counts from it."""
        return self._longest

    def _reserve(self, tokens: int) -> None:
        if tokens <= self.length:
            return
        more = max(GROWTH, self.length // 2, tokens - self.length)
        for stored in (self._keys, self._values):
            for number, old in enumerate(stored):  # one layer at a time, so that never two whole caches exist
                stored[number] = old.new_zeros(old.shape[0], old.shape[1], self.length + more, old.shape[3])
                stored[number][: self.used, :, : self.length] = old[: self.used]
        self.length += more
