"""Several stores searched as one give what one store of all vectors gives, bit for bit."""

import numpy as np
import pytest

from camml import stores
from camml.stores import Vectors, VectorStore, _exact
from camml.stores._joined import Joined, propose


def some_vectors(count: int, dim: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_only_several_stores_with_an_engine_are_joined() -> None:
    faiss, memory = stores.create("faiss_index", 4), stores.create("memory", 4)
    assert propose([faiss, faiss])
    assert not propose([faiss])
    assert not propose([faiss, memory])


@pytest.mark.parametrize("dim", [1, 3, 64, 1000])
@pytest.mark.parametrize("fetched", [1, 1 << 20])
def test_it_is_one_store(dim: int, fetched: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_exact, "FETCHED", fetched)
    vectors = some_vectors(300, dim, seed=1)
    vectors[100:160] = vectors[:60]  # equal scores in two parts, more than are fetched at first
    vectors[160:180] = vectors[0]
    keys = np.arange(300, dtype=np.int64) * 3
    whole, parts = stores.create("memory", dim), list[VectorStore]()
    whole.add(keys, vectors)
    for start, stop in ((0, 120), (120, 123), (123, 300)):
        part = stores.create("faiss_index", dim)
        part.add(keys[start:stop], vectors[start:stop])
        parts.append(part)
    assert propose(parts)
    joined = Joined(parts, whole.vectors)
    queries = np.concatenate([some_vectors(20, dim, seed=2), vectors[:1]])
    for k in (1, 7, 40, 400):
        for allowed in (None, keys[::7], keys[:0]):
            for row, true in zip(joined.search(queries, k, allowed), whole.search(queries, k, allowed), strict=True):
                np.testing.assert_array_equal(row, true)
    assert len(joined) == 300
