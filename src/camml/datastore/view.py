"""The living vectors of one modality, over all the files or the database that hold them."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from camml.errors import StoreError
from camml.stores import FileStore, Keys, Scores, Vectors, VectorStore, keys_of
from camml.stores._exact import SPARE, best, nothing
from camml.stores._joined import Joined, merged, propose

Holds = Callable[[Keys], NDArray[np.bool]]


class Searched(Protocol):
    """Anything that can be searched: a vector store, or a compressed index of several."""

    def __len__(self) -> int: ...

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """Search as `VectorStore.search` does."""
        ...


class View:
    """Vector stores as one, less the vectors that do not count.

    A store may hold vectors of removed samples, and a database also those of a change that was never finished: these
    are passed over when they are found, so that neither has to be rewritten at once.

    Args:
      dim: D of the vectors.
      count: how many live.
      parts: the stores that hold the vectors; of several, the keys ascend from one to the next.
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
        self.searched: list[Searched] = self.joined(parts)
        self.alive = alive
        self._count = count
        self._spaced: dict[int, Vectors] = {}

    def __len__(self) -> int:
        return self._count

    def joined(self, parts: Sequence[VectorStore]) -> list[Searched]:
        """Return one engine that searches some of the parts together, where there is one."""
        return [Joined(parts, self.vectors)] if propose(parts) else [*parts]

    def exact(self) -> "View":
        """Return the same view with every vector compared."""
        return View(self.dim, self._count, self.parts, self.alive)

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """Find the k best that are not removed, as `VectorStore.search` says."""
        if allowed is not None:
            allowed = allowed[self.alive(allowed)]
        answers = [self._living(part, queries, k, allowed) for part in self.searched]
        return answers[0] if len(answers) == 1 else merged(answers, len(queries), k)

    def _living(self, part: Searched, queries: Vectors, k: int, allowed: Keys | None) -> tuple[Scores, Keys]:
        """Return the k best of one store that are not removed, fetched deeper where removed ones rank above them."""
        scores, keys = nothing(len(queries), k)
        depth, pending = k, np.arange(len(queries))
        while len(pending):
            its_scores, its_keys = part.search(queries[pending], depth, allowed)
            is_alive = (its_keys >= 0) & self.alive(its_keys.ravel()).reshape(its_keys.shape)
            if depth == k and is_alive.all():
                return its_scores, its_keys
            lacking = []
            for row, row_scores, row_keys, row_alive in zip(pending, its_scores, its_keys, is_alive, strict=True):
                scores[row], keys[row] = best(row_scores[row_alive], row_keys[row_alive], k)
                if row_alive.sum() < k and row_keys[-1] >= 0:
                    lacking.append(row)
            depth, pending = 2 * depth + SPARE, np.asarray(lacking, dtype=np.int64)
        return scores, keys

    def holds(self, keys: Keys) -> NDArray[np.bool]:
        """Return bool[N]: which of `keys` have a vector, removed or not."""
        held = np.zeros(len(keys), dtype=bool)
        for part, its in self._shared_out(keys):
            held[its] = part.holds(keys[its])
        return held

    def vectors(self, keys: Keys) -> Vectors:
        """Return float32[N, D], the vectors added under `keys`, all of which must exist.

        Raises:
          StoreError: a key has no vector.
        """
        if len(self.parts) == 1:
            return self.parts[0].vectors(keys)
        rows = np.empty((len(keys), self.dim), dtype=np.float32)
        for part, its in self._shared_out(keys):
            if not (held := part.holds(keys[its])).all():
                lost = keys[its][~held][0]
                raise StoreError(f"the datastore has no vector of key {lost}; look with `camml store check`")
            rows[its] = part.vectors(keys[its])
        return rows

    def evenly_spaced_vectors(self, living: Callable[[], Keys], most: int) -> Vectors:
        """Return float32[N, D]: at most `most` of the vectors, evenly spaced, so that they stand for all.

        Args:
          living: gives the keys of all that live, ascending; asked once.
        """
        if most not in self._spaced:
            keys = living()
            places = np.unique(np.linspace(0, len(keys) - 1, min(most, len(keys))).astype(np.int64))
            self._spaced[most] = self.vectors(keys[places])
        return self._spaced[most]

    def _shared_out(self, keys: Keys) -> Iterator[tuple[VectorStore, NDArray[np.int64]]]:
        """Yield the parts that can hold some of `keys`, each with the rows int64[M] of those keys."""
        if len(self.parts) == 1:
            yield self.parts[0], np.arange(len(keys))
            return
        owners = np.maximum(np.searchsorted(self._firsts, keys, side="right") - 1, 0)
        for owner in np.unique(owners).tolist():
            yield self.parts[owner], np.flatnonzero(owners == owner)

    @cached_property
    def _firsts(self) -> Keys:
        """The smallest key of each of several parts, which are stores in files."""
        return keys_of([cast(FileStore, part).first() for part in self.parts])
