"""Recall and latency of a search, measured against an exact one."""

import time
from dataclasses import dataclass

import numpy as np

from camml.datastore.view import Searched, View
from camml.stores import Keys, Vectors

K = 3
"""Recall is measured at so many neighbors: what the paper's models read at most."""
QUERIES = 256
TIMED = 30


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Queries drawn from the stored vectors, and their true neighbors.

    Attributes:
      own: the keys of the queries, which are themselves stored and must not count.
      truth: int64[N, K].
    """

    queries: Vectors
    own: Keys
    truth: Keys

    @classmethod
    def draw(cls, view: View, keys: Keys, seed: int) -> "GroundTruth":
        """Draw vectors under `keys` as queries and find the nearest others of each by exact comparison."""
        own = np.sort(np.random.default_rng(seed).choice(keys, min(QUERIES, len(keys)), replace=False))
        queries = view.vectors(own)
        neighbors = view.exact().search(queries, K + 1)[1]
        return cls(queries, own, without_own(neighbors, own))

    def half(self, second: bool) -> "GroundTruth":
        """Return every other query: one half tunes the settings, the other measures."""
        rows = slice(int(second), None, 2)
        return GroundTruth(self.queries[rows], self.own[rows], self.truth[rows])

    def recall(self, results: Keys) -> float:
        """Return the share of the true neighbors that int64[N, depth] `results` contains."""
        hits = sum(int(np.isin(truth, its).sum()) for truth, its in zip(self.truth, results, strict=True))
        return hits / max(1, int((self.truth >= 0).sum()))


def latency(searched: Searched, truth: GroundTruth) -> float:
    """Return the median time of a single query in milliseconds."""
    times = []
    for query in truth.queries[:TIMED]:
        started = time.perf_counter()
        searched.search(query[None], K)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times))


def without_own(results: Keys, own: Keys) -> Keys:
    """Remove from each row the key of its own query, or the last key where that is absent: int64[N, depth - 1]."""
    rows = [row[row != key][: results.shape[1] - 1] for row, key in zip(results, own, strict=True)]
    return np.stack(rows) if rows else results[:, 1:]
