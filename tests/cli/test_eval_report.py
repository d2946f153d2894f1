"""`camml eval report` as a person uses it."""

import json
from pathlib import Path

import pytest

from camml.cli import main
from tests.evaluation.report.conftest import record, write_run


@pytest.mark.long
@pytest.mark.absolute_paths
def test_it_writes_a_report_and_says_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "runs/a", [record(0, image="gone.png")])
    (write_run(tmp_path / "runs/b", [record(0)]) / "log.jsonl").unlink()
    out = tmp_path / "out"
    assert main(["eval", "report", str(tmp_path / "runs"), "--out", str(out), "--title", "Mine"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{out / 'index.html'}   (runs: 1, questions: 1)\n"
    assert f"left out, not finished: {tmp_path / 'runs/b'}" in said.err
    assert "pictures not shown: 1, the first: gone.png" in said.err
    assert "<h1>Mine</h1>" in (out / "index.html").read_text()
    assert (out / "leaderboard.md").read_text().startswith("# Mine\n")


@pytest.mark.long
def test_it_speaks_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run", [record(0)])
    assert main(["eval", "report", str(folder), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 1


@pytest.mark.parametrize("extra", [["--store", "nowhere"], []])
def test_mistakes_are_one_line_and_exit_code_2(tmp_path, extra: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run", [record(0)]) if extra else tmp_path / "none"
    assert main(["eval", "report", str(folder), "--out", str(tmp_path / "out"), *extra]) == 2
    error = capsys.readouterr().err
    assert error.startswith("camml: error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
