"""Files that other FAISS programs wrote."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from camml.errors import StoreError
from camml.stores import faiss_index
from camml.stores._exact import ROUNDING
from camml.stores.faiss_index import Store


def some_vectors(count: int, dim: int = 16) -> np.ndarray[Any, np.dtype[np.float32]]:
    vectors = np.random.default_rng(0).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["Flat", "IVF4,Flat", "HNSW16", "IVF4,SQ8", "IDMap2,Flat", "SQ8"])
def test_any_kind_opens_with_row_numbers_as_keys(kind: str, tmp_path: Path) -> None:
    vectors = some_vectors(300)
    index = faiss.index_factory(16, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    if kind.startswith("IDMap2"):
        index.add_with_ids(vectors, np.arange(300))
    else:
        index.add(vectors)
    faiss.write_index(index, str(tmp_path / "a.index"))
    store = Store.open(tmp_path / "a.index")
    assert len(store) == 300
    scores, keys = store.search(vectors[:20], 3)
    assert (keys[:, 0] == np.arange(20)).all()
    assert np.allclose(scores[:, 0], 1, atol=0.02)  # SQ8 keeps 8 bits a number
    assert np.allclose(store.vectors(keys[:, 0]), vectors[:20], atol=0.02)
    allowed = np.arange(0, 20, 2)
    hits = store.search(vectors[:20], 3, allowed)[1]
    assert set(hits[hits >= 0].tolist()) <= set(allowed.tolist())
    assert (hits[::2, 0] == allowed).all()


def test_distances_are_refused(tmp_path: Path) -> None:
    faiss.write_index(faiss.IndexFlatL2(4), str(tmp_path / "l2.index"))
    with pytest.raises(StoreError, match="inner product"):
        Store.open(tmp_path / "l2.index")


def test_keys_of_a_map_are_kept(tmp_path: Path) -> None:
    index = faiss.IndexIDMap(faiss.IndexFlatIP(16))
    index.add_with_ids(some_vectors(3), np.asarray([30, 10, 20]))
    faiss.write_index(index, str(tmp_path / "idmap.index"))
    store = Store.open(tmp_path / "idmap.index")
    assert store.search(some_vectors(3), 1)[1].tolist() == [[30], [10], [20]]
    assert (store.vectors(np.asarray([20, 30])) == some_vectors(3)[[2, 0]]).all()


def test_another_programs_index_is_not_changed(tmp_path: Path) -> None:
    index = faiss.IndexHNSWFlat(16, 8, faiss.METRIC_INNER_PRODUCT)
    index.add(some_vectors(20))
    faiss.write_index(index, str(tmp_path / "a.index"))
    store = Store.open(tmp_path / "a.index")
    with pytest.raises(StoreError, match="only be read"):
        store.add(np.asarray([50]), some_vectors(1))
    with pytest.raises(StoreError, match="only be read"):
        store.remove(np.asarray([5]))


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.index").write_bytes(b"not an index at all")
    with pytest.raises(StoreError, match=r"x\.index is not a FAISS index file"):
        Store.open(tmp_path / "x.index")
    with pytest.raises(FileNotFoundError):
        Store.open(tmp_path / "absent.index")


@pytest.mark.parametrize("dim", [64, 384, 1024])
def test_rounding_is_an_ample_bound(dim: int) -> None:
    """The scores of FAISS, whichever way it computes them, lie far closer to the exact ones than `ROUNDING`."""
    vectors = some_vectors(2000, dim)
    index = faiss.IndexFlatIP(dim)
    index.add(vectors)
    exact = vectors[:64].astype(np.float64) @ vectors.T.astype(np.float64)
    for count in (1, 64):
        scores, keys = index.search(vectors[:count], 50)
        assert np.abs(scores - np.take_along_axis(exact[:count], keys, axis=1)).max() < ROUNDING / 10


def test_a_batch_is_compared_the_fast_way_and_the_setting_put_back() -> None:
    before, many = faiss.cvar.distance_compute_blas_threshold, faiss_index.MANY * faiss.omp_get_max_threads()
    seen: list[int] = []

    class Watched:
        def search(self, queries: Any, depth: int) -> Any:
            seen.append(faiss.cvar.distance_compute_blas_threshold)
            if depth == 9:
                raise RuntimeError("out of memory")
            return np.zeros((len(queries), depth), dtype=np.float32), np.zeros((len(queries), depth), dtype=np.int64)

    store = faiss_index.Store(4)
    store._index, store._keys = Watched(), None
    store.rough(np.zeros((many - 1, 4), dtype=np.float32), 3)
    store.rough(np.zeros((many, 4), dtype=np.float32), 3)
    with pytest.raises(RuntimeError, match="out of memory"):
        store.rough(np.zeros((many, 4), dtype=np.float32), 9)
    assert seen == [before, 1, 1]
    assert faiss.cvar.distance_compute_blas_threshold == before
    with faiss_index.comparing(many):
        with faiss_index.comparing(many):  # another thread
            pass
        assert faiss.cvar.distance_compute_blas_threshold == 1
    assert faiss.cvar.distance_compute_blas_threshold == before


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read where Linux tells it")
def test_a_store_that_was_saved_is_freed(tmp_path: Path) -> None:
    """A build saves one part after the other; FAISS's wrapper would leave each one's vectors behind."""

    def private() -> int:
        return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("RssAnon"))

    vectors, sizes = np.ones((65_536, 64), dtype=np.float32), []  # 16 MB
    for _ in range(8):
        store = Store(64)
        store.add(np.arange(len(vectors)), vectors)
        store.save(tmp_path / "a.index")
        assert Store.open(tmp_path / "a.index").search(vectors[:1], 1)[0].tolist() == [[64.0]]
        sizes.append(private())
    assert sizes[-1] - sizes[1] < 2 * 16_384
