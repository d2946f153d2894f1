"""Settings and tensors of a GGUF file, as far as the weights of this folder need them.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camml.errors import FetchError

Array = NDArray[np.float32]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
"""Where tensors begin, in bytes, unless the file says otherwise."""
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The kinds of numbers in settings, as `struct` writes them."""
STRING, ARRAY = 8, 9
BLOCK = 32
"""How many weights share a scale in the formats with 4 and 8 bits."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A file that was read.

    Attributes:
      settings: by their names, such as "llama.block_count".
      tensors: by their names, in float32, with the shape [out, in] for a matrix.
    """

    settings: Mapping[str, Any]
    tensors: Mapping[str, Array]


class _Cursor:
    """A place in the file that moves on with everything that is read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def number(self, kind: str) -> Any:
        """Return the next number."""
        [value] = struct.unpack_from(f"<{kind}", self.data, self.place)
        self.place += struct.calcsize(f"<{kind}")
        return value

    def text(self) -> str:
        """Return the next string: its length, then its bytes."""
        length = self.number("Q")
        self.place += length
        return self.data[self.place - length : self.place].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """Return the next value of a kind."""
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            inner, length = self.number("I"), self.number("Q")
            return [self.value(inner) for _ in range(length)]
        return self.number(NUMBERS[kind])


def read(path: Path) -> Contents:
    """Read a GGUF file; tensors with 4 or 8 bits become float32.

    Raises:
      FetchError: it is no such file, or holds tensors in a format that is not read here.
    """
    cursor = _Cursor(path.read_bytes())
    if cursor.data[:4] != MAGIC:
        raise FetchError(f"{path.name} is not a GGUF file")
    cursor.place = len(MAGIC)
    if (version := cursor.number("I")) not in VERSIONS:
        raise FetchError(f"{path.name} is a GGUF file of version {version}; versions 2 and 3 are read")
    tensor_count, setting_count = cursor.number("Q"), cursor.number("Q")
    settings = {cursor.text(): cursor.value(cursor.number("I")) for _ in range(setting_count)}
    entries = [_entry(cursor) for _ in range(tensor_count)]
    alignment = settings.get("general.alignment", ALIGNMENT)
    start = -(-cursor.place // alignment) * alignment
    tensors = {
        name: _tensor(path, cursor.data, start + offset, shape, kind).reshape(shape)
        for name, shape, kind, offset in entries
    }
    return Contents(settings, tensors)


def _entry(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    """Return name, shape, kind and offset of the next tensor; the file lists the fastest dimension first."""
    name = cursor.text()
    shape = tuple(cursor.number("Q") for _ in range(cursor.number("I")))[::-1]
    return name, shape, cursor.number("I"), cursor.number("Q")


def _tensor(path: Path, data: bytes, start: int, shape: tuple[int, ...], kind: int) -> Array:
    """Return the numbers of one tensor in a row."""
    count = int(np.prod(shape))
    match kind:
        case 0:
            return np.frombuffer(data, "<f4", count, start).astype(np.float32)
        case 1:
            return np.frombuffer(data, "<f2", count, start).astype(np.float32)
        case 3:  # Q4_1
            block = np.dtype([("scale", "<f2"), ("least", "<f2"), ("weights", "u1", BLOCK // 2)])
            blocks = np.frombuffer(data, block, count // BLOCK, start)
            weights = np.concatenate([blocks["weights"] & 15, blocks["weights"] >> 4], axis=1).astype(np.float32)
            return weights * _column(blocks["scale"]) + _column(blocks["least"])
        case 8:  # Q8_0
            blocks = np.frombuffer(data, np.dtype([("scale", "<f2"), ("weights", "i1", BLOCK)]), count // BLOCK, start)
            return blocks["weights"].astype(np.float32) * _column(blocks["scale"])
    raise FetchError(
        f"{path.name} holds tensors of the GGUF kind {kind}; 0 (F32), 1 (F16), 3 (Q4_1), 8 (Q8_0) are read"
    )


def _column(numbers: NDArray[np.float16]) -> Array:
    return numbers.astype(np.float32)[:, None]
