"""What makes all stores give the same neighbors, bit for bit: one way to score, one order of equals."""

import numpy as np

from camml.stores import Keys, Scores, Vectors


def inner_products(vectors: Vectors, query: Vectors) -> Scores:
    """float32[N]: `query` float32[D] with each row of float32[N, D].

    A row is summed the same way wherever it stands and however many there are, which no matrix product promises:
    so equal vectors have equal scores, and a score does not depend on the batch.
    """
    scores: Scores = np.einsum("nd,d->n", vectors, query)
    return scores


def best(scores: Scores, keys: Keys, k: int) -> tuple[Scores, Keys]:
    """The k highest scores and their keys, equal ones in order of key; -inf and -1 where there are fewer."""
    order = np.lexsort((keys, -scores))[:k]
    missing = k - len(order)
    return (
        np.pad(scores[order], (0, missing), constant_values=-np.inf),
        np.pad(keys[order], (0, missing), constant_values=-1),
    )


def check_new(keys: Keys, vectors: Vectors, dim: int, known: Keys) -> None:
    """That `keys` are new and `vectors` have one row of width `dim` for each.

    Raises:
      ValueError: they are not, or have not.
    """
    if vectors.shape != (len(keys), dim):
        raise ValueError(f"{len(keys)} keys need vectors of shape ({len(keys)}, {dim}), not {vectors.shape}")
    if len(np.unique(keys)) < len(keys) or np.isin(keys, known).any() or (keys < 0).any():
        raise ValueError("keys must be unique, new and not negative")
