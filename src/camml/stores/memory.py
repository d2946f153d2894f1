"""Vectors in one array, searched exactly: the reference that all other stores are held to."""

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from camml.stores import Keys, Scores, Vectors, keys_of
from camml.stores._exact import check_new, ranked


class Store:
    """A `FileStore` that needs numpy alone."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._keys = keys_of(())
        self._vectors: Vectors = np.empty((0, dim), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add int64[N] keys with float32[N, D] vectors."""
        check_new(keys, vectors, self.dim, self._keys)
        self._keys = np.concatenate([self._keys, keys])
        self._vectors = np.concatenate([self._vectors, vectors.astype(np.float32, copy=False)])

    def remove(self, keys: Keys) -> int:
        """Remove those of `keys` that are there, and return their number."""
        remaining = ~np.isin(self._keys, keys)
        self._keys, self._vectors = self._keys[remaining], self._vectors[remaining]
        return int((~remaining).sum())

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """Find the k best for each query, as `VectorStore.search` says."""
        chosen = slice(None) if allowed is None else np.isin(self._keys, allowed)
        return ranked(queries, self._keys[chosen], self._vectors[chosen], k)

    def holds(self, keys: Keys) -> NDArray[np.bool]:
        """Return bool[N]: which of `keys` are there."""
        return np.isin(keys, self._keys)

    def first(self) -> int:
        """Return its smallest key; -1 where it is empty."""
        return int(self._keys.min()) if len(self) else -1

    def vectors(self, keys: Keys) -> Vectors:
        """Return float32[N, D]: what was added under `keys`."""
        order = np.argsort(self._keys)
        rows = order[np.searchsorted(self._keys, keys, sorter=order)]
        vectors: Vectors = self._vectors[rows]
        return vectors

    def save(self, path: Path) -> None:
        """Write to one file."""
        with path.open("wb") as file:
            np.savez(file, keys=self._keys, vectors=self._vectors)

    @classmethod
    def open(cls, path: Path, *, mapped: bool = False) -> Self:
        """Read what `save` wrote; always all of it."""
        with np.load(path) as arrays:
            keys, vectors = arrays["keys"], arrays["vectors"]
        store = cls(vectors.shape[1])
        store._keys, store._vectors = keys, vectors
        return store
