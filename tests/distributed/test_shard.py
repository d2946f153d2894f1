"""Shards of vectors: any tool reads them, and a damaged one is never taken for whole."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from camml.datastore.embedding import Chunk
from camml.datastore.picture_files import PictureFile, picture_files
from camml.distributed import shard
from camml.encoders.hashed import HashedEncoder
from camml.types import Sample
from tests.colors import picture

SAMPLES = [Sample(str(number), f"text {number}", Path("picture") if number % 2 else None) for number in range(5)]


@pytest.fixture
def chunk() -> Chunk:
    """Sample 3 has an image that cannot be used."""
    numbers = np.random.default_rng(0)
    text, image = (numbers.normal(size=size).astype(np.float32) for size in ((4, 16), (1, 24)))
    return Chunk(text, image, {3: "is no image"}, [None, PictureFile(10, 20, 64 * "a"), None, None, None])


def test_it_gives_back_what_it_was_given(tmp_path: Path, chunk: Chunk) -> None:
    shard.write(tmp_path, "a.parquet", SAMPLES, chunk)
    result = shard.read(tmp_path / "a.parquet")
    assert result is not None
    assert result.text.tobytes() == chunk.text.tobytes()
    assert result.image.tobytes() == chunk.image.tobytes()
    assert (result.bad, result.files) == (chunk.bad, chunk.files)
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["id"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [row["image"] is None for row in rows] == [True, False, True, True, True]
    assert rows[4]["text"] == chunk.text[3].tolist()
    assert rows[3] == {"id": "3", "text": None, "image": None, "bad": "is no image", "file": None}


def test_one_of_an_earlier_version_knows_no_files(tmp_path: Path, chunk: Chunk) -> None:
    shard.write(tmp_path, "a.parquet", SAMPLES, chunk)
    pq.write_table(pq.read_table(tmp_path / "a.parquet").drop_columns(["file"]), tmp_path / "b.parquet")
    result = shard.read(tmp_path / "b.parquet")
    assert result is not None
    assert (result.bad, len(result.files)) == (chunk.bad, 0)


def test_one_of_texts_alone(tmp_path: Path) -> None:
    chunk = Chunk(np.ones((5, 16), np.float32), np.empty((0, 24), np.float32), {})
    shard.write(tmp_path, "a.parquet", [Sample(str(number), "text") for number in range(5)], chunk)
    rows = shard.read(tmp_path / "a.parquet")
    assert rows is not None
    assert rows.image.shape == (0, 24)


@pytest.mark.long
def test_no_damage_goes_unseen(tmp_path: Path, chunk: Chunk) -> None:
    path = tmp_path / "a.parquet"
    assert shard.read(path) is None
    shard.write(tmp_path, path.name, SAMPLES, chunk)
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 5):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        rows = shard.read(path)
        refused += rows is None
        if rows is not None:  # a part that holds no vector
            assert (rows.text.tobytes(), rows.image.tobytes()) == (chunk.text.tobytes(), chunk.image.tobytes())
            assert rows.bad == chunk.bad
    assert refused > 100
    path.write_bytes(whole[:-1])
    assert shard.read(path) is None


def test_the_name_changes_with_everything_that_counts(tmp_path: Path) -> None:
    first, other = picture(tmp_path, "red"), picture(tmp_path, "blue")
    names = {
        shard.name_of([sample], picture_files([sample]), HashedEncoder(dim), size)
        for sample in (
            Sample("a", "x", first),
            Sample("a", "x", other),
            Sample("a", "x"),
            Sample("a", "y"),
            Sample("b", "x"),
        )
        for dim in (16, 32)
        for size in (1, 2)
    }
    assert len(names) == 5 * 2 * 2
