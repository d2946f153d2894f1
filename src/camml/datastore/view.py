"""The living vectors of one modality, over all the files or the database that hold them."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from camml.errors import StoreError
from camml.stores import Keys, Scores, Vectors, VectorStore
from camml.stores._exact import SPARE, best, nothing

Holds = Callable[[Keys], NDArray[np.bool]]


class Searched(Protocol):
    """What can be searched: a vector store, or a compressed index of several."""

    def __len__(self) -> int: ...

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """As `VectorStore.search`."""
        ...


class View:
    """Vector stores as one, less the vectors that do not count.

    A store may hold vectors of removed samples, and a database also those of a change that was never finished: these
    are passed over when they are found, so that neither has to be rewritten at once.

    Args:
      dim: D of the vectors.
      count: how many live.
      parts: the stores that hold the vectors.
      alive: which of some keys live.

    Attributes:
      searched: what a search looks into; the parts, or a compressed index of some and the other parts.
    """

    def __init__(
        self,
        dim: int,
        count: int,
        parts: Sequence[VectorStore],
        alive: Holds,
    ) -> None:
        self.dim = dim
        self.parts = list(parts)
        self.searched: list[Searched] = [*parts]
        self.alive = alive
        self._count = count

    def __len__(self) -> int:
        return self._count

    def exact(self) -> "View":
        """The same, with every vector compared."""
        return View(self.dim, self._count, self.parts, self.alive)

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """The k best that live, as `VectorStore.search` says."""
        if allowed is not None:
            allowed = allowed[self.alive(allowed)]
        found = [self._living(part, queries, k, allowed) for part in self.searched]
        if len(found) == 1:
            return found[0]
        scores, keys = nothing(len(queries), k)
        for row in range(len(queries)):
            its_scores = np.concatenate([part[0][row] for part in found])
            its_keys = np.concatenate([part[1][row] for part in found])
            there = its_keys >= 0
            scores[row], keys[row] = best(its_scores[there], its_keys[there], k)
        return scores, keys

    def _living(self, part: Searched, queries: Vectors, k: int, allowed: Keys | None) -> tuple[Scores, Keys]:
        """The k best of one store that live, fetched deeper where others stand before them."""
        scores, keys = nothing(len(queries), k)
        depth, pending = k, np.arange(len(queries))
        while len(pending):
            its_scores, its_keys = part.search(queries[pending], depth, allowed)
            lives = (its_keys >= 0) & self.alive(its_keys.ravel()).reshape(its_keys.shape)
            lacking = []
            for row, row_scores, row_keys, row_lives in zip(pending, its_scores, its_keys, lives, strict=True):
                scores[row], keys[row] = best(row_scores[row_lives], row_keys[row_lives], k)
                if row_lives.sum() < k and row_keys[-1] >= 0:
                    lacking.append(row)
            depth, pending = 2 * depth + SPARE, np.asarray(lacking, dtype=np.int64)
        return scores, keys

    def holds(self, keys: Keys) -> NDArray[np.bool]:
        """bool[N]: under which of `keys` there is a vector, whether it lives or not."""
        held: NDArray[np.bool] = np.any([part.holds(keys) for part in self.parts], axis=0)
        return held

    def vectors(self, keys: Keys) -> Vectors:
        """float32[N, D]: what was added under `keys`, all of which are there.

        Raises:
          StoreError: they are not.
        """
        if len(self.parts) == 1:
            return self.parts[0].vectors(keys)
        rows = np.empty((len(keys), self.dim), dtype=np.float32)
        sought = np.ones(len(keys), dtype=bool)
        for part in self.parts:
            its = sought & part.holds(keys)
            rows[its] = part.vectors(keys[its])
            sought &= ~its
        if sought.any():
            raise StoreError(f"the datastore has no vector of key {keys[sought][0]}; look with `camml store check`")
        return rows
