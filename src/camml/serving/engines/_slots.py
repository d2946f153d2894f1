"""Keys and values of many answers: each has room for what it may get, taken when it comes and then given back.

Short answers share blocks of a few lengths; a long one has a block of its own, exactly as long as it needs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

SHORTEST, LONGEST_SHARED = 128, 1024
"""Tokens of the rows of blocks that are shared; the lengths between are powers of two."""
BLOCK_TOKENS = 2048
"""Of all rows of a shared block together."""
STEP = 16
"""Rows of a block of their own are rounded up to so many tokens."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The shapes of a token's keys and values.

    Attributes:
      keys, values: heads and width in each layer.
    """

    keys: tuple[tuple[int, int], ...]
    values: tuple[tuple[int, int], ...]
    dtype: torch.dtype
    device: torch.device

    @property
    def bytes_per_token(self) -> int:
        """Return what one token takes in all layers."""
        return self.dtype.itemsize * sum(heads * width for heads, width in (*self.keys, *self.values))


@dataclass(eq=False, slots=True)
class Row:
    """The place of one answer: where it is now, and how many tokens it holds."""

    block: "Block"
    count: int = 0


@dataclass(eq=False, slots=True)
class Block:
    """Rows of one length; those in use are the first ones, in the order of `rows`."""

    size: int
    length: int
    device: torch.device
    keys: list[Tensor]
    values: list[Tensor]
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def make(cls, layout: Layout, size: int, length: int) -> "Block":
        """Return an empty block; zeros, since what a mask leaves out must still be numbers."""

        def tensors(shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
            return [
                torch.zeros(size, heads, length, width, dtype=layout.dtype, device=layout.device)
                for heads, width in shapes
            ]

        return cls(size, length, layout.device, tensors(layout.keys), tensors(layout.values))

    @property
    def full(self) -> bool:
        """Return whether all rows are in use."""
        return len(self.rows) == self.size

    def copy(self, source: "Block", source_row: int, row: int, tokens: int) -> None:
        """Take the first tokens of a row of any block into a row of this one."""
        for mine, other in ((self.keys, source.keys), (self.values, source.values)):
            for target, origin in zip(mine, other, strict=True):
                target[row, :, :tokens] = origin[source_row, :, :tokens]


class Slots:
    """All blocks there are, within a budget.

    Args:
      memory: bytes that blocks may take.
      whole: rows and tokens of the only block, which then is made at once and kept.

    Attributes:
      memory, whole: as given.
    """

    def __init__(self, layout: Layout, memory: int, whole: tuple[int, int] | None = None) -> None:
        self.memory = memory
        self._layout = layout
        self.whole = whole
        self.blocks: list[Block] = []
        if whole is not None:
            self.blocks = [Block.make(layout, *whole)]

    @property
    def allocated(self) -> int:
        """Return the bytes that are taken now."""
        return sum(self._bytes(block.size, block.length) for block in self.blocks)

    def cost(self, tokens: int, answers: int = 1) -> int:
        """Return the bytes of blocks that so many answers of so many tokens take where nothing else is there."""
        size, length = self._shape(tokens)
        return -(-answers // size) * self._bytes(size, length)

    def fits(self, tokens: int, answers: int = 1) -> bool:
        """Return whether so many answers have room now."""
        size, length = self._shape(tokens)
        free = sum(block.size - len(block.rows) for block in self._alike(size, length))
        if self.whole is not None:
            return answers <= free
        new = -(-max(0, answers - free) // size)
        return self.allocated + new * self._bytes(size, length) <= self.memory

    def take(self, tokens: int) -> Row:
        """Return a row with room for so many tokens; `fits` said that there is one."""
        size, length = self._shape(tokens)
        block = next((block for block in self._alike(size, length) if not block.full), None)
        if block is None:
            block = Block.make(self._layout, size, length)
            self.blocks.append(block)
        row = Row(block)
        block.rows.append(row)
        return row

    def copy(self, source: Row, target: Row) -> None:
        """Let one answer begin as another one has."""
        block = target.block
        block.copy(source.block, source.block.rows.index(source), block.rows.index(target), source.count)
        target.count = source.count

    def free(self, row: Row) -> None:
        """Give a row back: the last one of its kind moves to its place, and a block without rows is let go."""
        block = row.block
        if block.rows == [row] and self.whole is None:
            self.blocks.remove(block)
            return
        last_block = [other for other in self._alike(block.size, block.length) if other.rows][-1]
        last = last_block.rows[-1]
        if last is not row:
            place = block.rows.index(row)
            block.copy(last_block, len(last_block.rows) - 1, place, last.count)
            block.rows[place] = last
            last.block = block
        last_block.rows.pop()
        if not last_block.rows and self.whole is None:
            self.blocks.remove(last_block)

    def _alike(self, size: int, length: int) -> Iterator[Block]:
        return (block for block in self.blocks if (block.size, block.length) == (size, length))

    def _bytes(self, size: int, length: int) -> int:
        return size * length * self._layout.bytes_per_token

    def _shape(self, tokens: int) -> tuple[int, int]:
        """Return how many rows of which length the block of an answer has."""
        if self.whole is not None:
            return self.whole
        if tokens > LONGEST_SHARED:
            return 1, -(-tokens // STEP) * STEP
        length = max(SHORTEST, 1 << (tokens - 1).bit_length())
        # with little memory a block must not take much of it for answers that are not there
        affordable = self.memory // 8 // self._bytes(1, length)
        return max(1, min(BLOCK_TOKENS // length, affordable)), length
