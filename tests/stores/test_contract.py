"""What every vector store promises; each file in `camml/stores` is held to it."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camml import plugins, stores
from camml.stores import Vectors, VectorStore
from camml.stores._exact import ROUNDING
from tests.stores import locations

STORES = locations.NAMES
DIM = 3

# Small whole numbers: their products are exact in float32, and equal scores are frequent.
rows = st.lists(st.integers(-2, 2), min_size=DIM, max_size=DIM)
content = st.dictionaries(st.integers(0, 40), rows, max_size=30)
every_store = pytest.mark.parametrize("name", STORES)
every_file_store = pytest.mark.parametrize("name", locations.FILES)
every_store_of_ours = pytest.mark.parametrize("name", [name for name in STORES if name in locations.OURS])
every_served_store = pytest.mark.parametrize("name", sorted(set(STORES) - set(locations.FILES)))
relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def filled(name: str, vectors: dict[int, list[int]]) -> VectorStore:
    store = locations.empty(name, DIM)
    if vectors:
        store.add(stores.keys_of(list(vectors)), np.asarray(list(vectors.values()), dtype=np.float32))
    return store


def expected(vectors: dict[int, list[int]], query: list[int], k: int) -> list[tuple[float, int]]:
    """The definition: all inner products, best first, of equal ones the highest key first, padded to k."""
    ranked = sorted((-sum(a * b for a, b in zip(row, query, strict=True)), -key) for key, row in vectors.items())
    results = [(float(-score), -key) for score, key in ranked[:k]]
    return results + [(-np.inf, -1)] * (k - len(results))


def searched(store: VectorStore, query: list[int], k: int, allowed: list[int] | None = None) -> list[tuple[float, int]]:
    limit = None if allowed is None else stores.keys_of(allowed)
    scores, keys = store.search(np.asarray([query], dtype=np.float32), k, limit)
    assert (scores.shape, keys.shape) == ((1, k), (1, k))
    assert (scores.dtype, keys.dtype) == (np.float32, np.int64)
    return list(zip(scores[0].tolist(), keys[0].tolist(), strict=True))


def test_there_are_stores() -> None:
    assert {"memory", "faiss_index"} <= set(STORES)


@every_file_store
@relaxed
@given(vectors=content, query=rows, k=st.integers(1, 35))
def test_search_is_exact_with_equals_in_order_of_key(
    name: str, vectors: dict[int, list[int]], query: list[int], k: int
) -> None:
    assert searched(filled(name, vectors), query, k) == expected(vectors, query, k)


@every_file_store
@relaxed
@given(vectors=content, removed=st.lists(st.integers(0, 40)), query=rows, k=st.integers(1, 35))
def test_removal_shifts_nothing(
    name: str, vectors: dict[int, list[int]], removed: list[int], query: list[int], k: int
) -> None:
    store = filled(name, vectors)
    left = {key: row for key, row in vectors.items() if key not in removed}
    assert store.remove(stores.keys_of(removed)) == len(vectors) - len(left)
    assert len(store) == len(left)
    assert searched(store, query, k) == expected(left, query, k)
    keys = sorted(left, reverse=True)
    assert store.vectors(stores.keys_of(keys)).tolist() == [left[key] for key in keys]


@every_file_store
@relaxed
@given(vectors=content, allowed=st.lists(st.integers(0, 50), unique=True), query=rows, k=st.integers(1, 35))
def test_search_among_allowed_keys_only(
    name: str, vectors: dict[int, list[int]], allowed: list[int], query: list[int], k: int
) -> None:
    chosen = {key: row for key, row in vectors.items() if key in allowed}
    assert searched(filled(name, vectors), query, k, allowed) == expected(chosen, query, k)


@every_file_store
@relaxed
@given(vectors=content, more=content, query=rows)
def test_saved_and_opened_it_is_the_same_and_grows(
    name: str, vectors: dict[int, list[int]], more: dict[int, list[int]], query: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "index"
    written = filled(name, vectors)
    written.save(path)  # type: ignore[attr-defined]
    mapped = plugins.find("stores", name).Store.open(path, mapped=True)
    assert searched(mapped, query, 50) == expected(vectors, query, 50)
    store = plugins.find("stores", name).Store.open(path)
    assert (len(store), store.dim) == (len(vectors), DIM)
    more = {key: row for key, row in more.items() if key not in vectors}
    store.add(stores.keys_of(list(more)), np.asarray(list(more.values()), dtype=np.float32).reshape(-1, DIM))
    assert searched(store, query, 50) == expected(vectors | more, query, 50)


def unit_vectors(count: int, dim: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.long
@every_store
@pytest.mark.parametrize("dim", [1, 3, 64, 384, 1000])
def test_all_give_the_reference_but_for_rounding(name: str, dim: int) -> None:
    vectors, queries = unit_vectors(500, dim, seed=dim), unit_vectors(40, dim, seed=dim + 1)
    store, keys = locations.empty(name, dim), np.random.default_rng(2).permutation(500).astype(np.int64)
    store.add(keys, vectors)
    true = queries.astype(np.float64) @ vectors[np.argsort(keys)].astype(np.float64).T
    best = -np.sort(-true, axis=1)[:, :7]
    for few in (queries, queries[:1]):
        scores, hits = store.search(few, 7)
        assert all(len(set(its)) == 7 for its in hits.tolist())
        assert np.abs(scores - best[: len(few)]).max() < ROUNDING
        assert np.abs(np.take_along_axis(true[: len(few)], hits, axis=1) - scores).max() < ROUNDING


@pytest.mark.long
@every_store_of_ours
@pytest.mark.parametrize("dim", [1, 3, 64, 384, 1000])
def test_all_give_the_reference_bit_for_bit_in_any_batch(name: str, dim: int) -> None:
    vectors, queries = unit_vectors(500, dim, seed=dim), unit_vectors(40, dim, seed=dim + 1)
    vectors[100:150] = vectors[50:100]  # equal scores that are not exact in float32
    store, reference = locations.empty(name, dim), stores.create("memory", dim)
    keys = np.random.default_rng(2).permutation(500).astype(np.int64)
    store.add(keys, vectors)
    reference.add(keys, vectors)
    scores, hits = store.search(queries, 7)
    expected_scores, expected_keys = reference.search(queries, 7)
    assert (scores == expected_scores).all()
    assert (hits == expected_keys).all()
    one_by_one = [store.search(query[None], 7) for query in queries[: 40 if name in locations.FILES else 3]]
    assert all((its[0][0] == row).all() for its, row in zip(one_by_one, scores, strict=False))
    assert all((its[1][0] == row).all() for its, row in zip(one_by_one, hits, strict=False))


@every_served_store
@pytest.mark.parametrize("seed", range(4))
def test_a_served_store_follows_the_definition_through_changes(name: str, seed: int) -> None:
    dice = random.Random(seed)
    vectors = {key: [dice.randint(-2, 2) for _ in range(DIM)] for key in dice.sample(range(40), 25)}
    removed, allowed = dice.sample(range(40), 12), dice.sample(range(50), 20)
    query, k = [dice.randint(-2, 2) for _ in range(DIM)], dice.randint(1, 35)
    store = filled(name, vectors)
    assert searched(store, query, k) == expected(vectors, query, k)
    left = {key: row for key, row in vectors.items() if key not in removed}
    assert store.remove(stores.keys_of(removed)) == len(vectors) - len(left)
    assert len(store) == len(left)
    assert searched(store, query, k) == expected(left, query, k)
    chosen = {key: row for key, row in left.items() if key in allowed}
    assert searched(store, query, k, allowed) == expected(chosen, query, k)
    keys = sorted(left, reverse=True)
    assert store.vectors(stores.keys_of(keys)).tolist() == [left[key] for key in keys]
    assert stores.in_database(store)
    assert store.keys().tolist() == sorted(left)


def crowd_found(name: str, vector: Vectors, query: Vectors) -> list[list[int]]:
    store = locations.empty(name, 4)
    keys = np.random.default_rng(0).permutation(1000).astype(np.int64)
    store.add(keys, np.tile(vector, (1000, 1)))
    hits: list[list[int]] = store.search(query, 5)[1].tolist()
    return hits


@pytest.mark.long
@every_store
def test_a_crowd_of_equals_comes_highest_key_first(name: str) -> None:
    """With scores that no way to sum rounds: where an engine rounds by place, equal vectors have other scores."""
    vector = np.asarray([[2, -1, 3, 1]], dtype=np.float32)
    assert crowd_found(name, vector, vector) == [[999, 998, 997, 996, 995]]


@every_store_of_ours
def test_a_crowd_of_equals_comes_highest_key_first_whatever_its_scores(name: str) -> None:
    assert crowd_found(name, unit_vectors(1, 4, 0), unit_vectors(1, 4, 1)) == [[999, 998, 997, 996, 995]]


@every_store
def test_it_has_all_methods(name: str) -> None:
    kind = "milvus" if name == "milvus-server" else name
    wanted = stores.IN_FILES if name in locations.FILES else stores.SERVED
    assert all(callable(getattr(stores.kind(kind), method)) for method in wanted)


@every_file_store
def test_it_knows_its_smallest_key(name: str) -> None:
    store = filled(name, {7: [1, 0, 0], 3: [0, 1, 0], 9: [0, 0, 1]})
    assert store.first() == 3  # type: ignore[attr-defined]
    assert store.holds(stores.keys_of([3, 4, 9])).tolist() == [True, False, True]
    assert locations.empty(name, DIM).first() == -1  # type: ignore[attr-defined]


@every_store
def test_nothing_to_search_and_nothing_asked(name: str) -> None:
    store = locations.empty(name, DIM)
    assert searched(store, [1, 0, 0], 2) == [(-np.inf, -1)] * 2
    assert store.search(np.empty((0, DIM), dtype=np.float32), 3)[1].shape == (0, 3)


@every_store
@pytest.mark.parametrize(
    ("keys", "shape"), [([1, 1], (2, DIM)), ([7, 2], (2, DIM)), ([-1], (1, DIM)), ([1, 2], (2, 4)), ([1, 2], (1, DIM))]
)
def test_keys_are_new_and_vectors_fit(name: str, keys: list[int], shape: tuple[int, int]) -> None:
    store = filled(name, {7: [1, 0, 0]})
    with pytest.raises(ValueError, match="keys"):
        store.add(stores.keys_of(keys), np.zeros(shape, dtype=np.float32))
    assert len(store) == 1
