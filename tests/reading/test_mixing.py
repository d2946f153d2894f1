"""Joining training sets."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from camml.data import llava_json
from camml.durable import digest
from camml.errors import OptionError, SampleError, StoreError
from camml.neighbors import NeighborTable, Origin, compute
from camml.reading import build, mix
from camml.reading.mixing import is_told
from camml.types import Neighbor, Query, Sample


@pytest.fixture
def pictured(tmp_path: Path) -> tuple[Path, Path]:
    """Two rows with a picture, and the table of their neighbors."""
    folder = tmp_path / "pictured"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This."}]
    rows = [{"id": f"train/a/{n}", "image": "a.png", "conversations": turns} for n in range(2)]
    data, table = folder / "train.json", folder / "neighbors"
    data.write_text(json.dumps(rows))
    conversations = llava_json.read(data)
    origin = Origin(str(data), digest(data), "store", "1", 0, "hashed 1", "image-image", 5)
    near = (Neighbor(Sample("s", "told", folder / "a.png"), 0.5),)
    compute(
        [conversation.query for conversation in conversations],
        lambda queries, k: [near for _ in queries],
        table,
        origin,
    )
    return data, table


def test_rows_and_neighbors_are_joined(pictured: tuple[Path, Path], tmp_path: Path, monkeypatch) -> None:
    build(tmp_path / "read", rows=5)
    monkeypatch.chdir(tmp_path)
    out = Path("some/mixed")
    sizes = mix(out, [pictured, (Path("read/conversations.json"), Path("read/neighbors"))])
    assert list(sizes.values()) == [2, 5]
    read = llava_json.read(out / "conversations.json", decode_images=True)
    assert [sample.image is not None for sample in read] == [True] * 2 + [False] * 5
    table = NeighborTable.open(out / "neighbors", dataset_hash=digest(out / "conversations.json"))
    before = NeighborTable.open(tmp_path / "read" / "neighbors")
    assert all(sample.id in table for sample in read)
    assert table.context("train_a_1")[0].sample.text == "told"
    assert table.context(read[-1].id) == before.context(read[-1].id)


def test_json_lines_are_joined_too(pictured: tuple[Path, Path], tmp_path: Path) -> None:
    build(tmp_path / "read", rows=5)
    data, table = tmp_path / "lines.jsonl", tmp_path / "of_lines"
    rows = json.loads((tmp_path / "read/conversations.json").read_text("utf-8"))
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = NeighborTable.open(tmp_path / "read/neighbors")
    origin = replace(read.origin, dataset=str(data), dataset_hash=digest(data))
    queries = [conversation.query for conversation in llava_json.read(data)]
    compute(queries, lambda asked, k: [read.context(query.id or "", k) for query in asked], table, origin)
    assert list(mix(tmp_path / "out", [pictured, (data, table)]).values()) == [2, 5]
    assert len(llava_json.read(tmp_path / "out/conversations.json")) == 7


@pytest.mark.parametrize(
    ("named", "place"),
    [
        ({"image": ["a.png"]}, "a.png"),
        ({"image_path": "a.png"}, "a.png"),
        ({"image": "7/image.png"}, "train/7/image.png"),
        ({"image": "b.jpg"}, "b.png"),
    ],
    ids=["a list", "another key", "as ScienceQA's", "another ending"],
)
def test_pictures_are_found_as_training_finds_them(
    named: dict[str, object], place: str, pictured: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    (folder / place).parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / place)
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "That."}]
    data = folder / "data.json"
    data.write_text(json.dumps([{"id": 7.0, **named, "conversations": turns}]))
    origin = replace(NeighborTable.open(pictured[1]).origin, dataset_hash=digest(data))
    compute([Query("", None, "7")], lambda queries, k: [()], folder / "near", origin)
    mix(tmp_path / "out", [pictured, (data, folder / "near")])
    own = llava_json.read(tmp_path / "out/conversations.json")[-1]
    assert own.id == "7"
    assert own.image is not None
    assert own.image.resolve() == folder / place


def test_a_row_of_two_pictures_is_named(pictured: tuple[Path, Path], tmp_path: Path) -> None:
    data, table = pictured
    rows = json.loads(data.read_text())
    rows[1]["image"] = ["a.png", "a.png"]
    data.write_text(json.dumps(rows))
    origin = replace(NeighborTable.open(table).origin, dataset_hash=digest(data))
    queries = [Query("", None, f"train_a_{number}") for number in range(2)]
    compute(queries, lambda queries, k: [() for _ in queries], tmp_path / "near", origin)
    with pytest.raises(SampleError, match=r"train\.json: entry 2: has 2 pictures"):
        mix(tmp_path / "out", [(data, tmp_path / "near"), pictured])


def test_a_broken_line_is_named(pictured: tuple[Path, Path], tmp_path: Path) -> None:
    data = tmp_path / "lines.jsonl"
    data.write_text('{"id": 1\n')
    origin = replace(NeighborTable.open(pictured[1]).origin, dataset_hash=digest(data))
    compute([Query("", None, "1")], lambda queries, k: [() for _ in queries], tmp_path / "near", origin)
    with pytest.raises(SampleError, match=r"lines\.jsonl: line 1: not JSON"):
        mix(tmp_path / "out", [pictured, (data, tmp_path / "near")])
    assert not (tmp_path / "out").exists()


def test_rows_whose_answers_no_sample_tells_are_left_out(pictured: tuple[Path, Path], tmp_path: Path) -> None:
    build(tmp_path / "read", rows=5)
    read = tmp_path / "read/conversations.json", tmp_path / "read/neighbors"
    sizes = mix(tmp_path / "out", [read], [pictured])  # both rows say "This.", their sample says "told"
    assert list(sizes.values()) == [5, 0]
    assert len(llava_json.read(tmp_path / "out" / "conversations.json")) == 5
    with pytest.raises(SampleError, match="no row is left to mix"):
        mix(tmp_path / "none", [], [pictured, pictured])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("turns", [None, "?", [{"from": "gpt"}], [{"from": "gpt", "value": 3}], ["This."]])
def test_a_row_without_a_conversation_is_named(pictured: tuple[Path, Path], tmp_path: Path, turns: object) -> None:
    data, table = pictured
    row = {"id": "train/b/0", "conversations": turns}
    (data.parent / "broken.json").write_text(json.dumps([row]))
    origin = replace(NeighborTable.open(table).origin, dataset_hash=digest(data.parent / "broken.json"))
    compute([Query("", None, "train_b_0")], lambda queries, k: [()], data.parent / "near", origin)
    with pytest.raises(SampleError, match=r"broken.json: the entry 'train/b/0' has no conversation"):
        mix(tmp_path / "out", [pictured], [(data.parent / "broken.json", data.parent / "near")])


@pytest.mark.parametrize(
    ("answers", "told"),
    [(["Bern"], True), (["bern", "yes"], True), (["not in the samples"], True), (["Bern", "Basel"], False), ([], True)],
)
def test_answers_are_told_if_all_of_them_stand_in_samples(answers: list[str], told: bool) -> None:
    context = (Neighbor(Sample("a", "Made of tin."), 0.9), Neighbor(Sample("b", "It was made in Bern."), 0.8))
    turns = [turn for answer in answers for turn in ({"from": "human", "value": "?"}, {"from": "gpt", "value": answer})]
    assert is_told(turns, context) is told


def test_mistakes_are_said(pictured: tuple[Path, Path], tmp_path: Path) -> None:
    data, table = pictured
    with pytest.raises(OptionError, match="two parts or more to mix, not 1"):
        mix(tmp_path / "new", [pictured])
    with pytest.raises(SampleError, match=r"the id 'train/a/0' is there twice"):
        mix(tmp_path / "new", [pictured, pictured])
    with pytest.raises(OptionError, match="is not empty"):
        mix(data.parent, [pictured, pictured])
    other = tmp_path / "other.json"
    other.write_text("[]")
    with pytest.raises(StoreError, match="computed from another dataset"):
        mix(tmp_path / "new", [pictured, (other, table)])
    other.write_text("{}")
    with pytest.raises(SampleError, match="is an object, not a list"):
        mix(tmp_path / "new", [pictured, (other, table)])
    assert not (tmp_path / "new").exists()
