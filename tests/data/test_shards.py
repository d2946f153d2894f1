"""Shards to the files that training reads."""

import json
from pathlib import Path
from typing import Any

import fsspec
import pytest

from camml.cli import main
from camml.data import llava_json, origins, shards
from camml.errors import OptionError, SampleError
from camml.images import open_image
from tests.formats.shards import png, table, talk, tar


def files() -> dict[str, Any]:
    return {
        "1.json": {"conversations": talk("red"), "source": "x"},
        "1.png": png("red"),
        "2.json": {"conversations": [{"from": "human", "value": "say yes"}, {"from": "gpt", "value": "yes"}]},
    }


@pytest.mark.long
def test_from_s3_every_machine_has_the_same_files(tmp_path: Path, bucket: str) -> None:
    fsspec.filesystem("s3").put_file(str(tar(tmp_path / "0.tar", files())), f"{bucket}/data/0.tar")
    for machine in ("a", "b"):
        out = tmp_path / machine / "train.json"
        assert main(["convert", "shards", f"{bucket}/data/*.tar", str(out)]) == 0
    first, second = llava_json.read(out, out.with_name("train-images"))
    assert (first.id, first.turns[0].answer) == ("1", "red")
    assert first.image is not None
    assert open_image(first.image).getpixel((0, 0)) == (255, 0, 0)
    assert second.image is None
    assert origins.file_hash(tmp_path / "a" / "train.json") == origins.file_hash(tmp_path / "b" / "train.json")


def test_parquet_with_turns_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": "a", "conversations": json.dumps(talk("red")), "image": {"bytes": png("red"), "path": None}}]
    path, count = shards.convert(
        str(table(tmp_path / "x.parquet", rows)), tmp_path / "out" / "x.json", tmp_path / "images"
    )
    assert count == 1
    [conversation] = llava_json.read(path, tmp_path / "images")
    assert conversation.image is not None
    entry = json.loads(path.read_text())[0]
    assert entry["image"] == conversation.image.name
    assert main(["convert", "shards", str(tmp_path / "x.parquet"), str(tmp_path / "y.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [({"a.txt": "x"}, "no conversations"), ({}, "no samples"), ({"a.json": {"conversations": "x"}}, "not JSON")],
)
def test_what_cannot_be_trained_on_leaves_nothing(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(SampleError, match=message):
        shards.convert(str(tar(tmp_path / "x.tar", content)), tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".tar"]


def test_json_is_trained_on_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps([{"id": "a", "conversations": talk("red")}]))
    with pytest.raises(SampleError, match="as it is"):
        shards.convert(str(tmp_path / "x.json"), tmp_path / "out.json")


@pytest.mark.parametrize(("id", "said"), [(None, "null"), (" ", "empty"), (1.5, "1.5"), (True, "true")])
def test_an_entry_without_an_id_is_named(tmp_path: Path, id: object, said: str) -> None:
    rows = [{"id": id, "conversations": talk("red")}]
    with pytest.raises(SampleError, match=rf"x\.parquet: row 1: its id is {said}; give each entry its own, a text or"):
        shards.convert(str(table(tmp_path / "x.parquet", rows)), tmp_path / "out.json")
    with pytest.raises(SampleError, match=r"y\.parquet: row 1: has no id; give"):
        shards.convert(str(table(tmp_path / "y.parquet", [{"conversations": talk("red")}])), tmp_path / "out.json")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".parquet", ".parquet"]


def test_a_file_that_is_there_is_replaced_only_when_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = table(tmp_path / "x.parquet", [{"id": 7, "conversations": talk("red")}])
    (tmp_path / "out.json").write_text("mine")
    arguments = ["convert", "shards", str(source), str(tmp_path / "out.json")]
    assert main(arguments) == 2
    assert "out.json is there already; give another name, or --overwrite to replace it" in capsys.readouterr().err
    assert (tmp_path / "out.json").read_text() == "mine"
    assert main([*arguments, "--overwrite"]) == 0
    assert json.loads((tmp_path / "out.json").read_text())[0]["id"] == 7


def test_the_source_is_never_replaced(tmp_path: Path) -> None:
    source = table(tmp_path / "x.parquet", [{"id": "a", "conversations": talk("red")}])
    before = source.read_bytes()
    linked = tmp_path / "linked.json"
    linked.symlink_to(source)
    for given, out in ((source, source), (tmp_path, source), (tmp_path / "*.parquet", source), (source, linked)):
        with pytest.raises(OptionError, match=r"is what is read, or named like it; give a name that ends in \.json"):
            shards.convert(str(given), out, format="parquet", overwrite=True)
    assert source.read_bytes() == before
