"""What Milvus needs beside the contract: rows in the files of Milvus Lite, replicas of a server that lag behind."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("milvus_lite")

from camml import stores


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
