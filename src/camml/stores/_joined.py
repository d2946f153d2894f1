"""Several stores in files searched exactly as one: their proposals are joined before any is compared exactly."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeGuard

import numpy as np

from camml.stores import Keys, Scores, Vectors, VectorStore
from camml.stores._exact import best, exact_best, nothing


class Proposes(VectorStore, Protocol):
    """A store whose engine ranks by scores that may be rounded otherwise."""

    def rough(self, queries: Vectors, depth: int) -> tuple[Scores, Keys]:
        """Return the engine's best `depth` for float32[N, D]: float32[N, depth], int64[N, depth], -1 for none."""
        ...


class Joined:
    """Stores as one.

    Args:
      parts: they hold different keys.
      vectors: float32[N, D] of keys that one of them holds.
    """

    def __init__(self, parts: Sequence[Proposes], vectors: Callable[[Keys], Vectors]) -> None:
        self._parts = parts
        self._vectors = vectors

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """Find the k best for each query, as `VectorStore.search` says."""
        if allowed is not None:
            return merged([part.search(queries, k, allowed) for part in self._parts], len(queries), k)
        return exact_best(queries, k, len(self), self._rough, self._vectors)

    def _rough(self, queries: Vectors, depth: int) -> tuple[Scores, Keys]:
        answers = [part.rough(queries, min(depth, len(part))) for part in self._parts]
        scores, keys = (np.concatenate(columns, axis=1) for columns in zip(*answers, strict=True))
        order = np.argsort(np.where(keys < 0, np.inf, -scores), axis=1, kind="stable")[:, :depth]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(keys, order, axis=1)


def merged(parts: Sequence[tuple[Scores, Keys]], rows: int, k: int) -> tuple[Scores, Keys]:
    """Merge several answers to the same `rows` queries into the k best."""
    scores, keys = nothing(rows, k)
    for row in range(rows):
        its_scores = np.concatenate([part[0][row] for part in parts])
        its_keys = np.concatenate([part[1][row] for part in parts])
        there = its_keys >= 0
        scores[row], keys[row] = best(its_scores[there], its_keys[there], k)
    return scores, keys


def propose(parts: Sequence[object]) -> TypeGuard[Sequence[Proposes]]:
    """Return True if there are several parts and all have an engine."""
    return len(parts) > 1 and all(hasattr(part, "rough") for part in parts)
