"""Compressed indexes: chosen, measured, extended, and never in the way of a change."""

import os
from pathlib import Path

import numpy as np
import pytest

from camml.datastore import Datastore, indexing, verify
from camml.datastore.commits import MOST_SEGMENTS, commit_added, writing
from camml.datastore.embedding import Embedded
from camml.encoders import Vectors
from camml.errors import EmptyStoreError, OptionError, StoreCorruptedError
from camml.types import Sample
from tests.colors import Colors

DIM = 32


class Wide(Colors):
    image_dim = text_dim = DIM


def drawn(count: int, seed: int) -> Vectors:
    """Unit vectors in clumps, which lie in few dimensions, as embeddings do."""
    shape = np.random.default_rng(0)
    frame, centers = shape.normal(size=(8, DIM)), shape.normal(size=(12, 8))
    dice = np.random.default_rng(seed)
    inner = centers[dice.integers(0, 12, count)] + 0.4 * dice.normal(size=(count, 8))
    vectors = (inner @ frame + 0.02 * dice.normal(size=(count, DIM))).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def put(store: Datastore, first: int, count: int) -> None:
    """Samples whose vectors are already known."""
    samples = [Sample(f"s{first + n}", "text", None, {"odd": (first + n) % 2}) for n in range(count)]
    added = Embedded(samples, drawn(count, first + 1), np.empty((0, DIM), np.float32), np.empty(0, np.int64))
    assert store.path is not None
    with writing(store.path):
        store.reload()
        commit_added(store.path, store._snapshot, [added])
    store.reload()


@pytest.fixture
def store(tmp_path: Path) -> Datastore:
    store = Datastore.build(tmp_path / "store", [], Wide())
    put(store, 0, 1500)
    return store


def recall(store: Datastore, other: Datastore, **options: object) -> float:
    """The part of the 3 nearest in `other` that `store` finds, which has the same scores for them."""
    queries = drawn(60, 99)
    answers = [item.search(queries, "text", 3, **options) for item in (store, other)]  # type: ignore[arg-type]
    pairs = list(zip(*answers, strict=True))
    exact = [{n.sample.id: n.score for n in truth} for _, truth in pairs]
    for (pair, _), truth in zip(pairs, exact, strict=True):
        assert all(truth[n.sample.id] == n.score for n in pair if n.sample.id in truth)
    return sum(n.sample.id in truth for (pair, _), truth in zip(pairs, exact, strict=True) for n in pair) / 180


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sq8", "ivf", "hnsw", "rabitq"])
def test_every_kind_finds_what_it_promises(store: Datastore, kind: str) -> None:
    assert store.path is not None
    plain = Datastore.open(store.path)
    made = indexing.index(store.path, indexing.Requirements(kind=kind, recall=0.95))
    fast = made["text"]
    assert (fast.kind, fast.count, fast.below) == (kind, 1500, 1500)
    assert fast.measured["recall"] >= 0.95
    assert fast.file.bytes <= 1.2 * fast.measured["bytes"] + 4096
    store.reload()
    assert recall(store, plain) >= 0.93
    assert verify(store.path) == []
    # what is filtered is found exactly; what is removed is not found; what is added is
    assert recall(store, plain, where={"odd": 1}) == 1
    nearest = [context[0].sample.id for context in store.search(drawn(60, 99), "text", 1)]
    store.remove(sorted(set(nearest)))
    again = {n.sample.id for context in store.search(drawn(60, 99), "text", 3) for n in context}
    assert not again & set(nearest)
    put(store, 5000, 60)
    [context] = store.search(drawn(60, 5001)[:1], "text", 1)
    assert context[0].sample.id == "s5000"


@pytest.mark.long
def test_the_choice_keeps_to_the_memory(store: Datastore) -> None:
    assert store.path is not None
    said: list[str] = []
    made = indexing.index(store.path, indexing.Requirements(memory=1500 * 36, recall=0.9), said.append)
    assert made["text"].kind == "rabitq"
    assert not any("tried sq8" in line for line in said)
    with pytest.raises(OptionError, match="give more"):
        indexing.index(store.path, indexing.Requirements(memory=100))


@pytest.mark.long
def test_a_kind_that_is_slower_than_expected_gives_way(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.path is not None
    expected = [("sq8", 1.0), ("rabitq", 3.0), ("ivf", 4.0), ("flat", 9.0)]
    monkeypatch.setattr(indexing, "_ranking", lambda *_: expected)
    for took, built, kind in (
        ([0.5], ["sq8"], "sq8"),
        ([5.0, 2.0], ["sq8", "rabitq"], "rabitq"),
        ([3.5, 6.0], ["sq8", "rabitq"], "sq8"),
        ([20.0, 30.0, 40.0], ["sq8", "rabitq", "ivf"], None),
    ):
        said: list[str] = []
        times = iter([10.0, *took])
        monkeypatch.setattr(indexing, "latency", lambda *_, times=times: next(times))
        made = indexing.index(store.path, indexing.Requirements(recall=0.9, retrain=True), said.append)
        assert [line.split()[2] for line in said if "building" in line] == built
        if kind is None:
            assert made == {}
        else:
            assert (made["text"].kind, made["text"].measured["ms"]) == (kind, min(took))
        store.reload()


@pytest.mark.long
def test_additions_extend_it_and_growth_trains_it_again(store: Datastore) -> None:
    assert store.path is not None
    indexing.index(store.path, indexing.Requirements(kind="ivf", recall=0.9))
    put(store, 1500, 300)
    drift = indexing.drift(store.path)["text"]
    assert drift["outside"] == pytest.approx(1 / 6)
    assert drift["recall"] >= 0.9
    made = indexing.index(store.path, indexing.Requirements(recall=0.9))["text"]
    assert (made.kind, made.count, made.trained, made.below) == ("ivf", 1800, 1500, 1800)
    assert indexing.drift(store.path)["text"]["outside"] == 0
    put(store, 1800, 1300)
    made = indexing.index(store.path, indexing.Requirements(kind="ivf", recall=0.9))["text"]
    assert (made.count, made.trained) == (3100, 3100)
    store.reload()
    indexing.index(store.path, indexing.Requirements(kind="flat"))
    store.reload()
    assert store.manifest.fast == {}


@pytest.mark.long
def test_merging_segments_leaves_it_valid(store: Datastore) -> None:
    assert store.path is not None
    indexing.index(store.path, indexing.Requirements(kind="sq8", recall=0.9))
    for n in range(20):
        put(store, 2000 + 10 * n, 10)
    store.remove([f"s{n}" for n in range(600)])
    assert len(store.manifest.segments) < 18
    plain = Datastore.open(store.path)
    plain._snapshot.indexes["text"].searched = list(plain._snapshot.indexes["text"].parts)
    assert recall(store, plain) >= 0.9
    [context] = store.search(drawn(10, 2101)[:1], "text", 1)
    assert context[0].sample.id == "s2100"
    assert verify(store.path) == []


def test_bad_wishes(store: Datastore, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"not 1\.5"):
        indexing.Requirements(recall=1.5)
    with pytest.raises(OptionError, match=r"'tree'.*hnsw"):
        indexing.Requirements(kind="tree")
    Datastore.build(tmp_path / "empty", [], Wide())
    with pytest.raises(EmptyStoreError):
        indexing.index(tmp_path / "empty", indexing.Requirements())


def test_a_damaged_index_is_noticed(store: Datastore) -> None:
    assert store.path is not None
    made = indexing.index(store.path, indexing.Requirements(kind="sq8", recall=0.9))
    file = store.path / made["text"].file.name
    later = file.stat().st_mtime_ns + 10**9
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    os.utime(file, ns=(later, later))  # the clock of a file system may stand still between two writes
    with pytest.raises(StoreCorruptedError, match=file.name):
        Datastore.open(store.path)
    assert len(verify(store.path)) == 1


def test_a_kind_that_stays_below_the_recall_is_said_to(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.path is not None
    monkeypatch.setattr(indexing, "_tuned", lambda *_: None)
    said: list[str] = []
    assert indexing.index(store.path, indexing.Requirements(), said.append) == {}
    assert said == [f"tried {kind} on 1500: it stays below recall 0.99" for kind in indexing.KINDS]


@pytest.mark.parametrize("later", [1, 2])
def test_what_is_added_after_it_is_found_where_segments_are_joined(tmp_path: Path, later: int) -> None:
    """One that the index does not cover is not joined with those that it covers."""
    store = Datastore.build(tmp_path / "store", [], Wide())
    assert store.path is not None
    for n in range(MOST_SEGMENTS + 1 - later):
        put(store, 10 * n, 10)
    indexing.index(store.path, indexing.Requirements(kind="sq8", recall=0.5))
    for n in range(later):
        put(store, 5000 + 10 * n, 10)
    assert len(store.manifest.segments) <= MOST_SEGMENTS
    for first in (0, *range(5000, 5000 + 10 * later, 10)):
        [context] = store.search(drawn(10, first + 1)[:1], "text", 1)
        assert context[0].sample.id == f"s{first}"
    everything = {n.sample.id for context in store.search(drawn(1, 7), "text", 500) for n in context}
    assert len(everything) == len(store) == 10 * (MOST_SEGMENTS + 1)
    assert verify(store.path) == []
