"""What Milvus needs beside the contract: rows in the files of Milvus Lite, replicas of a server that lag behind."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("milvus_lite")

from camml import stores
from camml.errors import StoreError
from camml.stores import milvus


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 2000])
def test_rows_are_in_the_data_files_once_they_are_added(tmp_path: Path, count: int) -> None:
    """Until they are flushed, Milvus Lite takes 30 times as long to search them."""
    store = stores.connect("milvus", str(tmp_path / "vectors.db"), "rows", 8)
    for keys in np.array_split(np.arange(3 * count), 3):
        store.add(keys, np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32))
        assert sum(pq.read_metadata(path).num_rows for path in tmp_path.rglob("data_*.parquet")) == keys[-1] + 1
    assert len(store) == 3 * count


class Lagging:
    """A client whose replica has some of the rows, and all of them where it is told to wait; counts the requests."""

    def __init__(self, client: Any, held: int) -> None:
        self.client, self.held, self.asked = client, held, list[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def get(self, *args: Any, consistency_level: str = "Strong", **options: Any) -> Any:
        self.asked.append(consistency_level)
        return self.client.get(*args, **options)[: self.held if consistency_level == "Eventually" else None]


@pytest.mark.parametrize(("held", "asked"), [(100, ["Eventually"]), (5, ["Eventually", "Strong"])])
def test_a_search_waits_for_the_vectors_only_where_a_replica_lacks_them(
    tmp_path: Path, held: int, asked: list[str]
) -> None:
    store, same = stores.connect("milvus", str(tmp_path / "vectors.db"), "lag", 8), stores.create("memory", 8)
    vectors = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    for item in (store, same):
        item.add(np.arange(100), vectors)
    store._client = client = Lagging(store._client, held)
    for row, expected in zip(store.search(vectors[:3], 4), same.search(vectors[:3], 4), strict=True):
        assert (row == expected).all()
    assert client.asked == asked


def test_every_request_has_a_limit(tmp_path: Path) -> None:
    class Noting:
        def __getattr__(self, name: str) -> Any:
            def act(*args: Any, timeout: float | None = None, **options: Any) -> Any:
                limits[name] = timeout
                return getattr(real, name)(*args, **options)

            return act

    limits: dict[str, float | None] = {}
    store = stores.connect("milvus", str(tmp_path / "vectors.db"), "limits", 8)
    real, store._client = store._client._client, milvus._Limited(Noting())
    vectors = np.eye(3, 8, dtype=np.float32)
    store.add(np.arange(3), vectors)
    store.search(vectors, 1)
    assert (len(store), store.keys().tolist(), store.remove(np.arange(1))) == (3, [0, 1, 2], 1)
    store._client.load_collection("limits")
    store.drop()
    store._make("FLAT")
    assert limits.pop("search") == milvus.SECONDS + 3
    assert [limits.pop(name) for name in ("load_collection", "flush")] == [milvus.LOADING] * 2
    assert [limits.pop(name) for name in ("create_schema", "prepare_index_params")] == [None] * 2
    assert limits == dict.fromkeys(
        ("create_collection", "create_index", "drop_collection", "query", "get", "insert", "delete"), milvus.SECONDS
    )


def test_no_request_goes_without_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do those that pymilvus adds of its own."""
    from milvus_lite.adapter.grpc.servicer import MilvusServicer

    left: dict[str, list[float]] = {}

    def noting(name: str) -> Any:
        real = getattr(MilvusServicer, name)

        def act(servicer: Any, request: Any, context: Any) -> Any:
            left.setdefault(name, []).append(context.time_remaining())  # of one without a limit 9e18 seconds
            return real(servicer, request, context)

        return act

    for name in filter(str.isidentifier, dir(MilvusServicer)):
        if name[0].isupper():
            monkeypatch.setattr(MilvusServicer, name, noting(name))
    store = stores.connect("milvus", str(tmp_path / "vectors.db"), "limits", 8)
    vectors = np.eye(3, 8, dtype=np.float32)
    store.add(np.arange(3), vectors)
    store.search(vectors, 1)
    store.drop()
    assert {"CreateCollection", "CreateIndex", "LoadCollection", "Insert", "Search"} <= left.keys()
    assert [name for name, seconds in left.items() if max(seconds) > milvus.LOADING + 60] == []


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from milvus_lite.adapter.grpc.servicer import MilvusServicer

    awake, query = threading.Event(), MilvusServicer.Query
    awake.set()

    def sleepy(servicer: Any, request: Any, context: Any) -> Any:
        awake.wait(60)
        return query(servicer, request, context)

    monkeypatch.setattr(MilvusServicer, "Query", sleepy)
    store, said = stores.connect("milvus", str(tmp_path / "vectors.db"), "frozen", 8), list[str]()
    assert len(store) == 0
    monkeypatch.setattr(milvus, "SECONDS", 1)

    def count() -> None:
        try:
            len(store)
        except StoreError as error:
            said.append(str(error))

    awake.clear()
    started = time.monotonic()
    counting = threading.Thread(target=count, daemon=True)
    counting.start()
    counting.join(45)
    waited = time.monotonic() - started
    awake.set()
    assert said == ["Milvus (frozen) failed: it did not answer in time; is it running, and is no other process "
                    "using the file?"]  # fmt: skip
    assert waited < 40
