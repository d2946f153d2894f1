"""`camml eval run` as a person uses it."""

import json
from pathlib import Path

import pytest

from camml.cli import main
from tests.evaluation.conftest import build_store
from tests.layouts import write_benchmarks


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("eval")
    write_benchmarks(folder / "data")
    return str(folder / "data"), str(build_store(folder))


@pytest.fixture
def command(places, camml_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    data, store = places
    return ["eval", "run", "gqa", "--model", str(camml_folder), "--store", store, "--data", data,
            "--out", str(tmp_path / "out"), "--max-new-tokens", "4", "--resamples", "50"]  # fmt: skip


def test_a_sweep_prints_a_table_and_draws_a_plot(command, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--shots", "0,1,2", "--context", "retrieved,random"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:6]] == [
        ["gqa", "none", "0"], ["gqa", "retrieved", "1"], ["gqa", "retrieved", "2"], ["gqa", "random", "1"],
        ["gqa", "random", "2"],
    ]  # fmt: skip
    assert (tmp_path / "out/gqa/shots.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out/gqa/variants.md").read_text().count("\n") == 7


def test_runs_compare(command, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--json", "--shots", "0,1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["context"] for run in found] == ["none", "retrieved"]
    assert {"accuracy"} <= found[0]["score"]["values"].keys()
    assert main(["eval", "compare", *(run["folder"] for run in found)]) == 0
    assert "gqa: 3 items" in capsys.readouterr().out


def test_answers_are_remembered_unless_asked_otherwise(command, tmp_path) -> None:
    assert main([*command, "--no-cache"]) == 0
    assert not (tmp_path / "home").exists()
    assert main([*command, "--out", str(tmp_path / "other")]) == 0
    assert len(list((tmp_path / "home/answers").rglob("*.json"))) == 3


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--shots", "many"], "--shots 'many' should be a number"),
        (["--context", "nearest"], "no context 'nearest'; there are: none, retrieved"),
        (["--limit", "0"], "limit is 0"),
        (["--shots", "9"], "shots is 9, but the datastore holds 5"),
        (["--model", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--device", "quantum"], "quantum"),
        (["--data", "/nowhere"], "no /nowhere/gqa/llava_gqa_testdev_balanced.jsonl; get it from"),
        (["--store", "/nowhere"], "no datastore at /nowhere"),
        (["--temperature", "-1"], "temperature is -1"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(command, extra, message, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, *extra]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.strip().count("\n") == 0
