"""Exact scores and one order of equals, which make all stores give the same neighbors, bit for bit."""

from collections.abc import Callable, Iterator

import numpy as np

from camml.stores import Keys, Scores, Vectors

SPARE = 8
"""Fetched beyond k, so that equal scores at the end of the list are mostly seen at once."""
FETCHED = 32 << 20
"""Bytes of vectors in memory at a time while candidates are compared."""
ROUNDING = 1e-5
"""How far, for unit vectors, another way to sum may lie from the exact score; seen: 2e-7, up to D = 4096."""

Candidates = Callable[[Vectors, int], tuple[Scores, Keys]]
"""For float32[N, D], the best `depth` as an engine ranks them: float32[N, depth], int64[N, depth], -1 for none."""


def inner_products(vectors: Vectors, query: Vectors) -> Scores:
    """Return float32[N]: `query` float32[D] with each row of float32[N, D].

    A row is summed the same way wherever it stands and however many there are, which no matrix product promises:
    so equal vectors have equal scores, and a score does not depend on the batch.
    """
    scores: Scores = np.einsum("nd,d->n", vectors, query)
    return scores


def best(scores: Scores, keys: Keys, k: int) -> tuple[Scores, Keys]:
    """Return the k highest scores and their keys, of equal ones the highest key first; -inf and -1 as padding."""
    order = np.lexsort((-keys, -scores))[:k]
    if len(order) == k:
        return scores[order], keys[order]
    best_scores, best_keys = np.full(k, -np.inf, dtype=np.float32), np.full(k, -1, dtype=np.int64)
    best_scores[: len(order)], best_keys[: len(order)] = scores[order], keys[order]
    return best_scores, best_keys


def nothing(rows: int, k: int) -> tuple[Scores, Keys]:
    """Return the answer to `rows` queries where there is nothing to find."""
    return np.full((rows, k), -np.inf, dtype=np.float32), np.full((rows, k), -1, dtype=np.int64)


def exact_best(
    queries: Vectors, k: int, limit: int, candidates: Candidates, vectors: Callable[[Keys], Vectors]
) -> tuple[Scores, Keys]:
    """Find the exact k best of an engine's candidates, fetched deeper until no tie or rounding can hide a better one.

    Args:
      queries: float32[N, D].
      limit: how many there are to find.
      candidates: the engine.
      vectors: float32[N, D] of keys.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    scores, keys = nothing(len(queries), k)
    depth, pending = min(k + SPARE, limit), np.arange(len(queries))
    while limit and len(pending):
        rough, rough_keys = candidates(queries[pending], depth)
        unsure = []
        fetched = _fetched(rough_keys, vectors, queries.shape[1])
        for row, its_rough, (its_keys, its_vectors) in zip(pending, rough, fetched, strict=True):
            scores[row], keys[row] = best(inner_products(its_vectors, queries[row]), its_keys, k)
            # What was not fetched scores at most `its_rough[-1]`; it must not be able to reach the k-th place.
            reach = ROUNDING * float(np.linalg.norm(queries[row])) * _longest(its_vectors)
            if len(its_keys) == depth < limit and its_rough[-1] + reach >= scores[row, -1]:
                unsure.append(row)
        depth, pending = min(2 * depth, limit), np.asarray(unsure, dtype=np.int64)
    return scores, keys


def ranked(queries: Vectors, keys: Keys, vectors: Vectors, k: int) -> tuple[Scores, Keys]:
    """Find the k best for each query among float32[N, D] `vectors` under `keys`."""
    scores, best_keys = nothing(len(queries), k)
    for row, query in enumerate(queries.astype(np.float32, copy=False)):
        scores[row], best_keys[row] = best(inner_products(vectors, query), keys, k)
    return scores, best_keys


def check_new(keys: Keys, vectors: Vectors, dim: int, known: Keys) -> None:
    """Raise unless `keys` are new and `vectors` have one row of width `dim` for each.

    Raises:
      ValueError: they are not, or have not.
    """
    if vectors.shape != (len(keys), dim):
        raise ValueError(f"{len(keys)} keys need vectors of shape ({len(keys)}, {dim}), not {vectors.shape}")
    if len(np.unique(keys)) < len(keys) or np.isin(keys, known).any() or (keys < 0).any():
        raise ValueError("keys must be unique, new and not negative")


def _fetched(keys: Keys, vectors: Callable[[Keys], Vectors], dim: int) -> Iterator[tuple[Keys, Vectors]]:
    """Yield keys and vectors of each row of int64[N, depth]; vectors are fetched many rows at a time."""
    step = max(1, FETCHED // (4 * dim * keys.shape[1]))
    for start in range(0, len(keys), step):
        some = keys[start : start + step]
        there, ends = some[some >= 0], np.cumsum((some >= 0).sum(axis=1))
        its_vectors = vectors(there)
        yield from zip(np.split(there, ends[:-1]), np.split(its_vectors, ends[:-1]), strict=True)


def _longest(vectors: Vectors) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max(initial=0.0)))
