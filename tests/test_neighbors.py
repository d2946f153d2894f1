"""Neighbors computed ahead: resumed, checked, and never a sample's own entry."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from camml import encoders, neighbors
from camml.datastore import Datastore
from camml.errors import OptionError, StoreCorruptedError, StoreError, StoreNotFoundError
from camml.neighbors import Chunk, NeighborTable, Origin, compute
from camml.retriever import POLICY, Retriever
from camml.types import Context, Neighbor, Query, Sample

ORIGIN = Origin("data.json", "d" * 64, "store", "s" * 64, 3, "test 1", "auto", 2)
SAMPLES = [Sample(str(n), f"text {n}", Path(f"/pictures/{n}.png") if n % 2 else None) for n in range(7)]
QUERIES = [Query(f"question {n}", None, str(n)) for n in range(7)]


class Retrieve:
    """Counts what it is asked; dies after so many batches."""

    def __init__(self, batches: int = 100) -> None:
        self.asked: list[str] = []
        self.batches = batches

    def __call__(self, queries: list[Query], k: int) -> list[Context]:
        if self.batches == 0:
            raise KeyboardInterrupt
        self.batches -= 1
        self.asked += [query.id or "" for query in queries]
        return [
            tuple(Neighbor(SAMPLES[(int(q.id or 0) + step) % 7], 1 / step) for step in range(1, k + 1)) for q in queries
        ]


def test_what_was_computed_is_read_again(tmp_path: Path) -> None:
    compute(QUERIES, Retrieve(), tmp_path / "t", ORIGIN, batch_size=3)
    table = NeighborTable.open(tmp_path / "t")
    assert len(table) == 7
    assert replace(table.origin, queries="") == ORIGIN
    assert table.context("5") == (Neighbor(SAMPLES[6], 1.0), Neighbor(SAMPLES[0], 0.5))
    assert table.context("5", 1) == (Neighbor(SAMPLES[6], 1.0),)
    assert not (tmp_path / "t" / "work").exists()


def test_an_interrupted_computation_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compute(QUERIES, Retrieve(2), tmp_path / "t", ORIGIN, batch_size=2)
    with pytest.raises(StoreNotFoundError, match="interrupted"):
        NeighborTable.open(tmp_path / "t")
    again, shown = Retrieve(), []
    compute(QUERIES, again, tmp_path / "t", ORIGIN, batch_size=2, progress=lambda done, of: shown.append((done, of)))
    assert again.asked == ["4", "5", "6"]
    assert shown[-1] == (7, 7)


@pytest.mark.parametrize("ended_after", ["neighbors.parquet", "samples.parquet"])
def test_tables_of_a_computation_that_ended_before_its_manifest_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended_after: str
) -> None:
    def write(path: Path, data: bytes) -> None:
        path.write_bytes(data)
        if path.name == ended_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(neighbors, "write_file", write)
    with pytest.raises(KeyboardInterrupt):
        compute(QUERIES, Retrieve(), tmp_path / "t", ORIGIN)
    monkeypatch.undo()
    assert len(compute(QUERIES, Retrieve(0), tmp_path / "t", ORIGIN)) == 7


@pytest.mark.parametrize("names", [["work/notes.txt"], ["samples.parquet"], ["neighbors.parquet"], ["a.txt"], ["work"]])
def test_a_folder_of_something_else_is_refused_and_left_as_it_was(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text("mine")
    with pytest.raises(OptionError, match=r"mine holds something else than neighbors, such as '.*'; give a new or an"):
        compute(QUERIES, Retrieve(), tmp_path / "mine", ORIGIN)
    there = {path.relative_to(tmp_path / "mine") for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    assert there == set(map(Path, names))
    with pytest.raises(OptionError, match="is a file; give a folder"):
        compute(QUERIES, Retrieve(), tmp_path / "mine" / names[0], ORIGIN)


def test_a_computation_that_fails_at_once_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compute(QUERIES, Retrieve(0), tmp_path / "t", ORIGIN)
    assert list(tmp_path.iterdir()) == []


def test_what_an_interrupted_computation_of_something_else_left_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compute(QUERIES, Retrieve(2), tmp_path / "t", ORIGIN, batch_size=2)
    again = Retrieve()
    compute(QUERIES, again, tmp_path / "t", replace(ORIGIN, store_hash="x" * 64), batch_size=2)
    assert len(again.asked) == 7


def test_what_an_interrupted_computation_of_other_queries_left_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compute(QUERIES[1:], Retrieve(2), tmp_path / "t", ORIGIN, batch_size=1)
    table = compute(QUERIES, Retrieve(), tmp_path / "t", ORIGIN, batch_size=1)
    assert [name for name in map(str, range(7)) if name in table] == list("0123456")
    assert pq.read_table(tmp_path / "t" / "neighbors.parquet")["id"].to_pylist() == list("0123456")


def test_chunks_of_other_queries_or_none_are_not_joined(tmp_path: Path) -> None:
    def swapped(chunks: Sequence[Chunk], k: int) -> Iterator[int]:
        yield Chunk(chunks[0].path, chunks[1].queries).write(Retrieve(), k)
        yield Chunk(chunks[1].path, chunks[0].queries).write(Retrieve(), k)

    with pytest.raises(StoreCorruptedError, match=r"000000000\.json holds the neighbors of other queries.*remove"):
        compute(QUERIES[:4], Retrieve(), tmp_path / "t", ORIGIN, batch_size=2, spread=swapped)
    with pytest.raises(StoreError, match=r"000000000\.json is gone.*`camml neighbors` again"):
        compute(QUERIES[:4], Retrieve(), tmp_path / "u", ORIGIN, batch_size=2, spread=lambda chunks, k: iter([2, 2]))


def test_a_finished_table_of_other_queries_or_pictures_is_refused(tmp_path: Path) -> None:
    def queries(folder: str, size: int = 40) -> list[Query]:
        (tmp_path / folder).mkdir(exist_ok=True)
        for query in QUERIES:
            Image.new("RGB", (size, 30)).save(tmp_path / folder / f"{query.id}.png")
        return [replace(query, image=tmp_path / folder / f"{query.id}.png") for query in QUERIES]

    pictured = queries("a")
    compute(pictured, Retrieve(), tmp_path / "t", ORIGIN)
    (tmp_path / "a").rename(tmp_path / "moved")
    moved = [replace(query, image=tmp_path / "moved" / f"{query.id}.png") for query in QUERIES]
    assert len(compute(moved, Retrieve(0), tmp_path / "t", ORIGIN)) == 7
    for others in (moved[:6], queries("b", 41), QUERIES, [replace(moved[0], image=Image.new("L", (4, 4))), *moved[1:]]):
        with pytest.raises(StoreError, match=r"something else \(other samples, or other pictures of theirs\); choose"):
            compute(others, Retrieve(), tmp_path / "t", ORIGIN)
    with pytest.raises(StoreError, match=r"something else \(another k, --allow-none\); choose"):
        compute(moved, Retrieve(), tmp_path / "t", replace(ORIGIN, k=1, allow_none=True))


def test_a_finished_table_is_not_computed_again_and_another_is_refused(tmp_path: Path) -> None:
    compute(QUERIES, Retrieve(), tmp_path / "t", ORIGIN)
    compute(QUERIES, Retrieve(0), tmp_path / "t", replace(ORIGIN, dataset="moved.json"))
    with pytest.raises(StoreError, match="something else"):
        compute(QUERIES, Retrieve(), tmp_path / "t", replace(ORIGIN, k=1))


def test_a_table_of_an_earlier_policy_opens_and_is_not_taken_for_one_of_today(tmp_path: Path) -> None:
    compute(QUERIES, Retrieve(), tmp_path / "t", ORIGIN)
    manifest = json.loads((tmp_path / "t" / "manifest.json").read_text())
    for name in ("policy", "keep_duplicates", "queries", "allow_none"):
        del manifest["origin"][name]
    (tmp_path / "t" / "manifest.json").write_text(json.dumps(manifest))
    assert NeighborTable.open(tmp_path / "t").origin == ORIGIN
    assert len(compute(QUERIES, Retrieve(0), tmp_path / "t", ORIGIN)) == 7
    with pytest.raises(StoreError, match="something else"):
        compute(QUERIES[:6], Retrieve(), tmp_path / "t", ORIGIN)
    with pytest.raises(StoreError, match="something else"):
        compute(QUERIES, Retrieve(), tmp_path / "t", replace(ORIGIN, policy=POLICY))


@pytest.mark.parametrize("what", ["dataset", "store"])
def test_another_dataset_or_store_is_named(tmp_path: Path, what: str) -> None:
    compute(QUERIES, Retrieve(), tmp_path / "t", ORIGIN)
    NeighborTable.open(tmp_path / "t", dataset_hash="d" * 64, store_hash="s" * 64)
    with pytest.raises(StoreError, match=f"another {what}.*camml neighbors"):
        NeighborTable.open(tmp_path / "t", **{f"{what}_hash": "y" * 64})


@pytest.mark.parametrize("name", ["neighbors.parquet", "samples.parquet"])
def test_a_changed_file_is_found_out(tmp_path: Path, name: str) -> None:
    compute(QUERIES, Retrieve(), tmp_path / "t", ORIGIN)
    data = bytearray((tmp_path / "t" / name).read_bytes())
    data[40] ^= 1
    (tmp_path / "t" / name).write_bytes(data)
    with pytest.raises(StoreCorruptedError, match=name):
        NeighborTable.open(tmp_path / "t")
    (tmp_path / "t" / "manifest.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(StoreCorruptedError, match="manifest"):
        NeighborTable.open(tmp_path / "t")


def test_settings_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="at least 1"):
        compute(QUERIES, Retrieve(), tmp_path, replace(ORIGIN, k=0))
    with pytest.raises(OptionError, match="id"):
        compute([Query("no id")], Retrieve(), tmp_path, ORIGIN)
    compute(QUERIES[:2], Retrieve(), tmp_path / "t", ORIGIN)
    with pytest.raises(StoreError, match="'6'"):
        NeighborTable.open(tmp_path / "t").context("6")


def test_a_sample_never_has_itself_or_its_copy_as_neighbor(tmp_path: Path) -> None:
    texts = {"a": "a red square", "b": "a red square", "c": "a blue sky", "d": "the capital of France"}
    store = Datastore.build(tmp_path / "s", [Sample(i, t) for i, t in texts.items()], encoders.load("hashed"))
    retriever = Retriever(store, encoders.load("hashed"), "text-text")
    table = compute([Query(t, None, i) for i, t in texts.items()], retriever.retrieve, tmp_path / "t", ORIGIN)
    results = {name: [n.sample.id for n in table.context(name)] for name in texts}
    assert "a" not in results["a"]
    assert "b" not in results["a"]
    assert all(name not in ids for name, ids in results.items())
