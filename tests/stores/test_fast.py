"""Compressed indexes are shared by threads: a search brings its own settings and leaves none behind."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from camml import stores
from camml.stores import Keys, Vectors
from camml.stores._fast import KINDS, CompressedIndex, _lists

DIM = 32
SETTINGS = {"ivf": ("nprobe", (1, 4, 16, 64)), "rabitq": ("nprobe", (1, 4, 16, 64)), "hnsw": ("ef", (16, 64, 256))}


def some_vectors(count: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def built(kind: str, path: Path) -> CompressedIndex:
    vectors, base = some_vectors(2000, 0), stores.create("faiss_index", DIM)
    base.add(np.arange(2000), vectors)
    fast = CompressedIndex.train(KINDS[kind].factory(2000, DIM), vectors, base)
    fast.fill([np.arange(2000)])
    fast.save(path)
    return CompressedIndex.open(path, base, {})


def state(index: Any) -> tuple[int | None, int | None]:
    inner, lists = faiss.downcast_index(index.index), _lists(index.index)
    return (lists.nprobe if lists is not None else None), (inner.hnsw.efSearch if hasattr(inner, "hnsw") else None)


def as_faiss_sets_it(fast: CompressedIndex, name: str, value: int, queries: Vectors, depth: int) -> Keys:
    """The keys of an index of its own that has the setting."""
    own = faiss.clone_index(fast.index)
    if name == "nprobe":
        _lists(own.index).nprobe = value
    else:
        faiss.downcast_index(own.index).hnsw.efSearch = max(value, depth)
    keys: Keys = own.search(queries, depth)[1]
    return keys


@pytest.mark.parametrize("kind", SETTINGS)
def test_threads_with_other_settings_do_not_disturb_each_other(kind: str, tmp_path: Path) -> None:
    fast, queries, (name, values) = built(kind, tmp_path / "index"), some_vectors(8, 1), SETTINGS[kind]
    before = state(fast.index)
    views = {value: replace(fast, settings={name: value, "depth": 10}) for value in values}
    expected = {value: as_faiss_sets_it(fast, name, value, queries, 10) for value in values}
    assert len({keys.tobytes() for keys in expected.values()}) > 1, "the settings make no difference"

    def search(value: int) -> bool:
        return bool((views[value].candidates(queries, 10) == expected[value]).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(search, [values[number % len(values)] for number in range(200)]))
    assert state(fast.index) == before


def test_a_kind_without_settings_is_searched_too(tmp_path: Path) -> None:
    fast = built("sq8", tmp_path / "index")
    assert (fast.search(some_vectors(2000, 0)[:5], 3)[1][:, 0] == np.arange(5)).all()


def test_few_vectors_for_each_list_are_no_warning(capfd: pytest.CaptureFixture[str]) -> None:
    vectors, base = some_vectors(16, 0), stores.create("faiss_index", DIM)
    CompressedIndex.train(KINDS["ivf"].factory(16, DIM), vectors, base)
    assert capfd.readouterr() == ("", "")
