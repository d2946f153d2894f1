"""How well and how fast a search finds what an exact search finds."""

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
class Exam:
    """Queries held out, and their true neighbors.

    Attributes:
      own: the keys of the queries, which are themselves stored and must not count.
      truth: int64[N, K].
    """

    queries: Vectors
    own: Keys
    truth: Keys

    @classmethod
    def of(cls, view: View, keys: Keys, seed: int) -> "Exam":
        """Some of the vectors under `keys`, each asked for its nearest others, all compared exactly."""
        own = np.sort(np.random.default_rng(seed).choice(keys, min(QUERIES, len(keys)), replace=False))
        queries = view.vectors(own)
        found = view.exact().search(queries, K + 1)[1]
        return cls(queries, own, dropped(found, own))

    def half(self, second: bool) -> "Exam":
        """Every other query: one half sets the knobs, the other measures."""
        rows = slice(int(second), None, 2)
        return Exam(self.queries[rows], self.own[rows], self.truth[rows])

    def recall(self, found: Keys) -> float:
        """The part of the true neighbors that is in int64[N, depth] `found`."""
        hits = sum(int(np.isin(truth, its).sum()) for truth, its in zip(self.truth, found, strict=True))
        return hits / max(1, int((self.truth >= 0).sum()))


def latency(searched: Searched, exam: Exam) -> float:
    """Milliseconds for one query alone: the median of some."""
    times = []
    for query in exam.queries[:TIMED]:
        started = time.perf_counter()
        searched.search(query[None], K)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times))


def dropped(found: Keys, own: Keys) -> Keys:
    """int64[N, depth - 1]: each row less the key of its own query, or less its last where that is not there."""
    rows = [row[row != key][: found.shape[1] - 1] for row, key in zip(found, own, strict=True)]
    return np.stack(rows) if rows else found[:, 1:]
