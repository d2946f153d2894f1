"""Compressed FAISS indexes that propose candidates, which are then compared exactly by their full vectors."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from camml.stores import Keys, Scores, Vectors
from camml.stores._exact import FETCHED, nothing, ranked
from camml.stores.faiss_index import comparing, faiss_package, read_index, write_index

LINKS = 32
"""M of HNSW: links of a node on each level; twice as many on the lowest."""
SEEN = 40
"""Training vectors for each list of an inverted file; below 39 FAISS warns."""


class Base(Protocol):
    """The store of the full vectors, for exact scores."""

    def holds(self, keys: Keys) -> NDArray[np.bool]:
        """Return bool[N]: which of `keys` are there."""
        ...

    def vectors(self, keys: Keys) -> Vectors:
        """Return float32[N, D] of keys that are there."""
        ...

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """Search exactly."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to compress.

    Attributes:
      factory: the FAISS factory string for N vectors of width D.
      bytes_each: memory of one vector of width D, keys included.
      growth: by how much a search slows down from n to N vectors.
      setting: the setting that trades speed for recall; none where there is none.
    """

    factory: Callable[[int, int], str]
    bytes_each: Callable[[int], float]
    growth: Callable[[int, int], float]
    setting: str | None = None

    def size(self, count: int, dim: int) -> int:
        """Return the bytes in memory of `count` vectors."""
        lists = lists_for(count) if self.setting == "nprobe" else 0
        return int(count * self.bytes_each(dim)) + lists * dim * 4


def lists_for(count: int) -> int:
    """Return the number of inverted lists for `count` vectors: the power of two nearest to twice the root."""
    return int(2 ** max(0, round(math.log2(max(1.0, 2 * math.sqrt(count))))))


KINDS: Mapping[str, Kind] = {
    "sq8": Kind(lambda n, d: "SQ8", lambda d: d + 8, lambda n, m: m / n),
    "ivf": Kind(lambda n, d: f"IVF{lists_for(n)},SQ8", lambda d: d + 16, lambda n, m: math.sqrt(m / n), "nprobe"),
    "hnsw": Kind(
        lambda n, d: f"HNSW{LINKS},SQ8",
        lambda d: d + 8 * LINKS + 20,
        lambda n, m: math.log(m + 2) / math.log(n + 2),
        "ef",
    ),
    "rabitq": Kind(
        lambda n, d: f"IVF{lists_for(n)},RaBitQ",
        lambda d: d / 8 + 8 + 16,
        lambda n, m: math.sqrt(m / n),
        "nprobe",
    ),
}
"""`flat`, which compresses nothing, is the other choice."""


@dataclass(slots=True)
class CompressedIndex:
    """An index of some vectors under their keys.

    Args:
      index: an `IndexIDMap`.
      base: where the full vectors are.
      settings: `nprobe` or `ef`, and `depth`, the candidates that are compared exactly.
    """

    index: Any
    base: Base
    settings: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def train(cls, factory: str, sample: Vectors, base: Base) -> Self:
        """Create an empty index of that kind, fitted to float32[N, D] `sample`; on a GPU where FAISS has one."""
        faiss = faiss_package()
        inner = faiss.index_factory(sample.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        lists = _lists(inner)
        if lists is not None:
            lists.cp.min_points_per_centroid = 1  # FAISS warns of few; what they are worth is measured
            if getattr(faiss, "get_num_gpus", int)() > 0:
                lists.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(sample.shape[1]))
        inner.train(np.ascontiguousarray(sample))
        return cls(faiss.IndexIDMap(inner), base)

    @classmethod
    def open(cls, path: Path, base: Base, settings: Mapping[str, int], *, mapped: bool = True) -> Self:
        """Open what `save` wrote; mapped from the disk, or in memory so that it can grow."""
        return cls(read_index(path, mapped), base, settings)

    def save(self, path: Path) -> None:
        """Write to one file."""
        write_index(self.index, path)

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def fill(self, chunks: Iterable[Keys]) -> None:
        """Add the base's vectors of some keys."""
        for keys in chunks:
            self.index.add_with_ids(np.ascontiguousarray(self.base.vectors(keys)), keys)

    def settings_to_try(self) -> list[dict[str, int]]:
        """Return the settings to try, fastest first."""
        faiss = faiss_package()
        inner = faiss.downcast_index(self.index.index)
        lists = _lists(inner)
        if lists is not None:
            return [{"nprobe": 1 << n} for n in range(lists.nlist.bit_length())]
        if isinstance(inner, faiss.IndexHNSW):
            return [{"ef": 1 << n} for n in range(4, 12)]
        return [{}]

    def candidates(self, queries: Vectors, depth: int) -> Keys:
        """Return int64[N, depth]: the keys that the index puts first, -1 for none."""
        with comparing(len(queries)):
            rows = np.ascontiguousarray(queries, dtype=np.float32)
            keys: Keys = self.index.search(rows, depth, params=self._parameters(depth))[1]
        return keys

    def _parameters(self, depth: int) -> Any:
        """Return the settings for one search; the index is shared by threads and views, and is not touched."""
        faiss = faiss_package()
        inner = faiss.downcast_index(self.index.index)
        lists = _lists(inner)
        if lists is not None:
            return faiss.SearchParametersIVF(nprobe=min(self.settings.get("nprobe", 1), lists.nlist))
        if isinstance(inner, faiss.IndexHNSW):
            return faiss.SearchParametersHNSW(efSearch=max(self.settings.get("ef", 16), depth))
        return None

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """Find the k best of the candidates, with exact scores; among `allowed` keys, the k best of all of them."""
        if allowed is not None:
            return self.base.search(queries, k, allowed)
        scores, keys = nothing(len(queries), k)
        depth, pending = min(max(self.settings.get("depth", 0), 2 * k), len(self)), np.arange(len(queries))
        while depth and len(pending):
            lacking = []
            for row, candidates, its, vectors in self._held(pending, self.candidates(queries[pending], depth)):
                best_scores, best_keys = ranked(queries[row : row + 1], its, vectors, k)
                scores[row], keys[row] = best_scores[0], best_keys[0]
                if len(its) < k and candidates[-1] >= 0 and depth < len(self):
                    lacking.append(row)
            depth, pending = min(2 * depth, len(self)), np.asarray(lacking, dtype=np.int64)
        return scores, keys

    def _held(self, rows: Keys, keys: Keys) -> Iterator[tuple[int, Keys, Keys, Vectors]]:
        """Yield for each row of int64[N, depth] candidates its number, itself, its existing keys and their vectors.

        Files may have been rewritten since the index was made, without what was removed.
        """
        step = max(1, FETCHED // (4 * self.index.d * keys.shape[1]))
        for start in range(0, len(keys), step):
            some = keys[start : start + step]
            there = np.unique(some[some >= 0])
            there = there[self.base.holds(there)]
            vectors = self.base.vectors(there)
            for row, candidates in zip(rows[start : start + step].tolist(), some, strict=True):
                its = np.intersect1d(candidates, there)
                yield row, candidates, its, vectors[np.searchsorted(there, its)]


def _lists(index: Any) -> Any:
    """Return the inverted file in an index; None where it has none."""
    try:
        return faiss_package().extract_index_ivf(index)
    except RuntimeError:
        return None
