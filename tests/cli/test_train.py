"""`camml train`, `camml neighbors` and `camml merge` from their arguments to their exit codes."""

import json
from pathlib import Path

import pytest

from camml import encoders
from camml.cli import main
from camml.datastore import Datastore
from camml.neighbors import NeighborTable
from camml.types import Sample
from tests.training import runs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training set and a store of the same samples."""
    folder = tmp_path_factory.mktemp("data")
    path = runs.dataset(folder)
    entries = json.loads(path.read_text())
    samples = [
        Sample(e["id"], e["conversations"][0]["value"], folder / e["image"] if "image" in e else None) for e in entries
    ]
    Datastore.build(folder / "store", samples, encoders.load("hashed"))
    return path


def test_neighbors_of_a_dataset_in_a_store(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["neighbors", str(data), str(data.parent / "store"), str(out), "--k", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 12
    table = NeighborTable.open(out)
    assert table.origin.encoder.startswith("hashed ")
    for number in range(12):
        ids = [neighbor.sample.id for neighbor in table.context(f"row-{number}")]
        assert f"row-{number}" not in ids
        assert 1 <= len(ids) <= 3
    assert main(["neighbors", str(data), str(data.parent / "store"), str(out), "--k", "3"]) == 0
    assert "neighbors of 12 samples" in capsys.readouterr().out


def test_near_duplicates_are_neighbors_only_where_they_are_kept(data: Path, tmp_path: Path) -> None:
    samples = [Sample(name, "the same words", None) for name in ("row-0", "twin")] + [Sample("other", "else", None)]
    Datastore.build(tmp_path / "store", samples, encoders.load("hashed"))
    rows = [{"id": "row-0", "conversations": [{"from": "human", "value": "the same words"},
                                              {"from": "gpt", "value": "yes"}]}]  # fmt: skip
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    arguments = [str(tmp_path / "rows.json"), str(tmp_path / "store")]
    assert main(["neighbors", *arguments, str(tmp_path / "apart")]) == 0
    assert main(["neighbors", *arguments, str(tmp_path / "kept"), "--keep-duplicates"]) == 0
    results = {
        name: {neighbor.sample.id for neighbor in NeighborTable.open(tmp_path / name).context("row-0")}
        for name in ("apart", "kept")
    }
    assert results == {"apart": {"other"}, "kept": {"twin", "other"}}  # the sample itself never
    assert main(["neighbors", *arguments, str(tmp_path / "apart"), "--keep-duplicates"]) == 2


@pytest.mark.long
def test_a_store_that_changed_is_another_one(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Datastore.build(tmp_path / "store", [Sample("a", "one"), Sample("b", "two")], encoders.load("hashed"))
    arguments = [str(data), str(tmp_path / "store"), str(tmp_path / "out"), "--mode", "text-text", "--k", "1"]
    assert main(["neighbors", *arguments]) == 0
    store.remove(["a"])
    flags = runs.flags(tmp_path / "run", data_path=data, neighbors=tmp_path / "out", icl_num=1)
    assert main(["train", *flags, "--store", str(tmp_path / "store"), "--dry_run", "True"]) == 2
    error = capsys.readouterr().err
    assert "another store" in error
    assert "camml neighbors" in error


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments, message in (
        (["train", "--learning_rat", "1"], "did you mean --learning_rate"),
        (["train", "nowhere.yaml"], "no configuration nowhere.yaml"),
        (["train", "--version", "v7", "--model_name_or_path", "m"], "--version is 'v7'"),
        (["merge", str(tmp_path), str(tmp_path / "out")], "nor the folder of a LoRA run"),
        (["neighbors", str(tmp_path / "gone.json"), "store", "out"], "cannot be read"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("camml: error: ")
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["train"], ["train", "--help"], ["train", "-h"]])
def test_help_lists_the_flags(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "--perceiver_querys" in text
    assert "TrainingArguments" in text
