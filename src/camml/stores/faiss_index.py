"""Vectors in a FAISS file; new ones are flat, others (IVF, HNSW, ...) open and can be searched too."""

from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np

from camml.errors import StoreError
from camml.stores import Keys, Scores, Vectors
from camml.stores._exact import best, check_new, inner_products

SPARE = 8
"""Fetched beyond k, so that equal scores at the end of the list are mostly seen at once."""
ROUNDING = 1e-5
"""How far, for unit vectors, a score of FAISS may lie from the exact one; seen: 2e-7, up to D = 4096."""


def _faiss() -> Any:
    """The package, loaded when first needed; its published types lack half of what it has."""
    return import_module("faiss")


class Store:
    """A `VectorStore` over `IndexIDMap2(IndexFlatIP)`."""

    def __init__(self, dim: int) -> None:
        faiss = _faiss()
        self.dim = dim
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add int64[N] keys with float32[N, D] vectors."""
        faiss = _faiss()
        check_new(keys, vectors, self.dim, faiss.vector_to_array(self._index.id_map))
        self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), keys)

    def remove(self, keys: Keys) -> int:
        """Remove those of `keys` that are there; how many there were."""
        return int(self._index.remove_ids(np.ascontiguousarray(keys, dtype=np.int64)))

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """The k best for each query, as `VectorStore.search` says."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        keys = np.full((len(queries), k), -1, dtype=np.int64)
        limit = len(self) if allowed is None else min(len(self), len(allowed))
        depth, pending = min(k + SPARE, limit), np.arange(len(queries))
        while limit and len(pending):
            rough, found = self._candidates(queries[pending], depth, allowed)
            unsettled = []
            for row, its_rough, its_keys in zip(pending, rough, found, strict=True):
                its_keys = its_keys[its_keys >= 0]
                vectors = self.vectors(its_keys)
                scores[row], keys[row] = best(inner_products(vectors, queries[row]), its_keys, k)
                # What was not fetched scores at most `its_rough[-1]`; it must not be able to reach the k-th place.
                reach = ROUNDING * float(np.linalg.norm(queries[row])) * _longest(vectors)
                if len(its_keys) == depth < limit and its_rough[-1] + reach >= scores[row, -1]:
                    unsettled.append(row)
            depth, pending = min(2 * depth, limit), np.asarray(unsettled, dtype=np.int64)
        return scores, keys

    def _candidates(self, queries: Vectors, depth: int, allowed: Keys | None) -> tuple[Scores, Keys]:
        """FAISS's own answer: float32[N, depth] and int64[N, depth], -1 where there is none."""
        if allowed is None:
            scores, keys = self._index.search(queries, depth)
        else:
            faiss = _faiss()
            selector = faiss.IDSelectorBatch(np.ascontiguousarray(allowed, dtype=np.int64))
            scores, keys = self._index.search(queries, depth, params=_parameters(self._index, selector))
        return scores, keys

    def vectors(self, keys: Keys) -> Vectors:
        """float32[N, D]: what was added under `keys`."""
        found: Vectors = self._index.reconstruct_batch(np.ascontiguousarray(keys, dtype=np.int64))
        return found

    def save(self, path: Path) -> None:
        """Write to one file."""
        faiss = _faiss()
        with path.open("wb") as file:  # FAISS's own writer does not notice a disk that fills up at its last flush
            faiss.write_index(self._index, faiss.PyCallbackIOWriter(file.write))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read what `save` wrote, or another FAISS file, whose row numbers are then the keys.

        Raises:
          StoreError: not a FAISS file, or one that does not search by inner product or keeps no vectors.
        """
        faiss = _faiss()
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            if not path.exists():
                raise FileNotFoundError(2, "No such file", str(path)) from error
            raise StoreError(f"{path} is not a FAISS index file: {str(error).splitlines()[0]}") from error
        if index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise StoreError(f"{path} does not search by inner product; rebuild it with the metric `ip`")
        store = cls.__new__(cls)
        store.dim, store._index = int(index.d), index
        _keep_vectors(path, index)
        return store


def _longest(vectors: Vectors) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max(initial=0.0)))


def _keep_vectors(path: Path, index: Any) -> None:
    """Make sure that `index` gives its vectors back by key."""
    faiss = _faiss()
    if isinstance(index, faiss.IndexIDMap2) or index.ntotal == 0:
        return
    with suppress(RuntimeError):  # not an inverted file, which alone needs the map
        faiss.extract_index_ivf(index).make_direct_map()
    try:
        index.reconstruct(0)
    except RuntimeError as error:
        kind = type(index).__name__
        raise StoreError(
            f"{path} is a FAISS {kind}, which does not give its vectors back; rebuild it as Flat"
        ) from error


def _parameters(index: Any, selector: Any) -> Any:
    """The search parameters that this kind of index wants, limited to what `selector` lets through."""
    faiss = _faiss()
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap | faiss.IndexIDMap2) else index
    if isinstance(inner, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=inner.nprobe)
    if isinstance(inner, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(sel=selector, efSearch=inner.hnsw.efSearch)
    return faiss.SearchParameters(sel=selector)
