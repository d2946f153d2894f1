"""What a vector store is. A file in this folder is one: it defines a class `Store` with the methods below."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from camml import plugins

Vectors = NDArray[np.float32]
Keys = NDArray[np.int64]
Scores = NDArray[np.float32]


class VectorStore(Protocol):
    """Vectors under integer keys that never change, searched by inner product.

    Keys are chosen by the caller and never reused, so a removal shifts nothing.
    """

    dim: int

    def __init__(self, dim: int) -> None: ...

    def __len__(self) -> int: ...

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add int64[N] keys with float32[N, D] vectors."""
        ...

    def remove(self, keys: Keys) -> int:
        """Remove those of `keys` that are there; how many there were."""
        ...

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """The k best for each of float32[N, D]: scores float32[N, K] and keys int64[N, K], best first.

        Equal scores come in order of key. Where there are fewer than k, the key is -1 and the score -inf.
        `allowed` limits the search to those keys.
        """
        ...

    def vectors(self, keys: Keys) -> Vectors:
        """float32[N, D]: what was added under int64[N] `keys`, all of which are there."""
        ...

    def save(self, path: Path) -> None:
        """Write to one file (the caller makes it durable and atomic)."""
        ...

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        ...


def create(name: str, dim: int) -> VectorStore:
    """An empty store of the kind `name` for vectors of width `dim`."""
    store: VectorStore = plugins.find("stores", name).Store(dim)
    return store


def keys_of(values: Sequence[int]) -> Keys:
    """int64[N] of some integers."""
    return np.asarray(values, dtype=np.int64)
