"""Vectors in a FAISS file; new ones are flat, others (IVF, HNSW, ...) open and can be searched too."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from camml.errors import StoreError, first_line
from camml.stores import Keys, Scores, Vectors, keys_of
from camml.stores._exact import check_new, exact_best, ranked

FEW = 1024
"""Up to so many allowed keys are compared one by one, which is faster than a search that skips all others."""

MANY = 3
"""From so many queries for each thread on, a matrix product compares them faster than one pass for each.

FAISS 1.14 and later begin at 128,000 numbers whatever the threads: one thread then takes fifteen times as long for 64
queries of width 1,024. Source: measured; https://github.com/facebookresearch/faiss/pull/5109 discusses it.
"""
_matrix_lock = Lock()
_matrix_users: list[int] = []
"""The limit that FAISS had, once for each search that is under way with ours."""


def faiss_package() -> Any:
    """Import the package when first needed; its published types lack half of what it has."""
    return import_module("faiss")


def read_index(path: Path, mapped: bool) -> Any:
    """Read an index file; mapped from the disk, or in memory so that it can grow.

    Raises:
      FileNotFoundError: there is none.
      StoreError: it is not an index file.
    """
    faiss = faiss_package()
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError as error:
        if not path.exists():
            raise FileNotFoundError(2, "No such file", str(path)) from error
        raise StoreError(f"{path} is not a FAISS index file: {first_line(error)}") from error


def write_index(index: Any, path: Path) -> None:
    """Write an index to a file; FAISS's own writer does not notice a disk that fills up at its last flush."""
    faiss = faiss_package()
    with path.open("wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))


@contextmanager
def comparing(queries: int) -> Iterator[None]:
    """Make FAISS compare so many queries the fast way; the setting is the process's, so it is restored.

    FAISS takes it with no search. Other threads may compare their queries the fast way meanwhile: the scores that FAISS
    gives are rounded otherwise then, and those that we return are not, since they are computed anew.
    """
    faiss = faiss_package()
    if queries < MANY * faiss.omp_get_max_threads():
        yield
        return
    with _matrix_lock:
        _matrix_users.append(_matrix_users[0] if _matrix_users else faiss.cvar.distance_compute_blas_threshold)
        faiss.cvar.distance_compute_blas_threshold = 1
    try:
        yield
    finally:
        with _matrix_lock:
            before = _matrix_users.pop()
            if not _matrix_users:
                faiss.cvar.distance_compute_blas_threshold = before


class Store:
    """A `FileStore` over `IndexFlatIP`; the file is an `IndexIDMap` of it.

    Row numbers are the keys where a file of another program has none of its own.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._index: Any = faiss_package().IndexFlatIP(dim)
        self._map: Any = None  # what owns `_index` in a file
        self._keys: Keys | None = keys_of(())

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add int64[N] keys with float32[N, D] vectors."""
        known = self._own_keys()
        check_new(keys, vectors, self.dim, known)
        self._index.add(np.ascontiguousarray(vectors, dtype=np.float32))
        self._keyed(np.concatenate([known, keys]))

    def remove(self, keys: Keys) -> int:
        """Remove those of `keys` that are there, and return their number."""
        gone = np.isin(self._own_keys(), keys)
        self._index.remove_ids(np.flatnonzero(gone))
        self._keyed(self._own_keys()[~gone])
        return int(gone.sum())

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """Find the k best for each query, as `VectorStore.search` says."""
        if allowed is None:
            return exact_best(queries, k, len(self), self.rough, self.vectors)
        rows = self._rows(allowed[self.holds(allowed)])
        if len(rows) <= FEW:
            keys = rows if self._keys is None else self._keys[rows]
            return ranked(queries, keys, self.vectors(keys), k)
        faiss = faiss_package()
        bits = np.zeros(len(self), dtype=bool)
        bits[rows] = True
        packed = np.packbits(bits, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(self), faiss.swig_ptr(packed))
        parameters = _parameters(self._index, selector)
        limited = lambda some, depth: self.rough(some, depth, params=parameters)  # noqa: E731
        return exact_best(queries, k, len(rows), limited, self.vectors)

    def rough(self, queries: Vectors, depth: int, **options: Any) -> tuple[Scores, Keys]:
        """Return FAISS's own best for float32[N, D]: float32[N, depth], our keys int64[N, depth], -1 for none."""
        with comparing(len(queries)):
            scores, rows = self._index.search(queries, depth, **options)
        return scores, rows if self._keys is None else np.where(rows < 0, -1, self._keys[rows])

    def vectors(self, keys: Keys) -> Vectors:
        """Return float32[N, D]: what was added under `keys`."""
        vectors: Vectors = self._index.reconstruct_batch(np.ascontiguousarray(self._rows(keys)))
        return vectors

    def holds(self, keys: Keys) -> NDArray[np.bool]:
        """Return bool[N]: which of `keys` are there."""
        if self._keys is None:
            return (keys >= 0) & (keys < len(self))
        ordered = self._keys if self._order is None else self._keys[self._order]
        if not len(ordered):
            return np.zeros(len(keys), dtype=bool)
        held: NDArray[np.bool] = ordered[np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)] == keys
        return held

    def first(self) -> int:
        """Return its smallest key; -1 where it is empty."""
        if not len(self):
            return -1
        return 0 if self._keys is None else int(self._keys.min())

    def save(self, path: Path) -> None:
        """Write to one file."""
        faiss = faiss_package()
        named = faiss.IndexIDMap(faiss.IndexFlatIP(self.dim))
        faiss.copy_array_to_vector(self._own_keys(), named.id_map)
        owned = self._index.thisown
        named.index, named.ntotal, named.own_fields = self._index, len(self), False
        self._index.thisown = owned  # to be put into another takes it away, and nobody would free the vectors
        write_index(named, path)

    @classmethod
    def open(cls, path: Path, *, mapped: bool = False) -> Self:
        """Read what `save` wrote, or another FAISS file, whose row numbers are then the keys.

        Raises:
          StoreError: not a FAISS file, or one that does not search by inner product or keeps no vectors.
        """
        faiss = faiss_package()
        index = read_index(path, mapped)
        if index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise StoreError(f"{path} does not search by inner product; rebuild it with the metric `ip`")
        store = cls.__new__(cls)
        store.dim, store._index, store._map, store._keys = int(index.d), index, None, None
        if isinstance(index, faiss.IndexIDMap | faiss.IndexIDMap2):
            store._keyed(faiss.vector_to_array(index.id_map))
            store._map, store._index = index, faiss.downcast_index(index.index)
        _keep_vectors(path, store._index)
        return store

    @cached_property
    def _order(self) -> Keys | None:
        """The permutation that sorts the keys; None where they are in order, as those of a datastore are."""
        assert self._keys is not None
        return None if (self._keys[1:] > self._keys[:-1]).all() else np.argsort(self._keys)

    def _rows(self, keys: Keys) -> Keys:
        """Return int64[N]: the rows of `keys`, all of which are there."""
        if self._keys is None:
            return keys
        places = np.searchsorted(self._keys, keys, sorter=self._order)
        rows: Keys = places if self._order is None else self._order[places]
        return rows

    def _keyed(self, keys: Keys) -> None:
        self._keys = keys
        self.__dict__.pop("_order", None)

    def _own_keys(self) -> Keys:
        """Return the keys of a store that can be changed.

        Raises:
          StoreError: it is a file of another kind, which can be searched only.
        """
        if self._keys is None or not isinstance(self._index, faiss_package().IndexFlatIP):
            raise StoreError("this FAISS index was made by another program and can only be read")
        return self._keys


def _keep_vectors(path: Path, index: Any) -> None:
    """Make sure that `index` gives its vectors back by row."""
    faiss = faiss_package()
    if index.ntotal == 0:
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
    """Return the search parameters that this kind of index takes, limited to what `selector` lets through."""
    faiss = faiss_package()
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=index.nprobe)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(sel=selector, efSearch=index.hnsw.efSearch)
    return faiss.SearchParameters(sel=selector)
