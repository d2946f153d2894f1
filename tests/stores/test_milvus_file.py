"""What a Milvus Lite file needs and a server does not."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("milvus_lite")

from camml import stores


@pytest.mark.parametrize("count", [1, 2000])
def test_rows_are_in_the_data_files_once_they_are_added(tmp_path: Path, count: int) -> None:
    """Until they are flushed, Milvus Lite takes 30 times as long to search them."""
    store = stores.connect("milvus", str(tmp_path / "vectors.db"), "rows", 8)
    for keys in np.array_split(np.arange(3 * count), 3):
        store.add(keys, np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32))
        assert sum(pq.read_metadata(path).num_rows for path in tmp_path.rglob("data_*.parquet")) == keys[-1] + 1
    assert len(store) == 3 * count
