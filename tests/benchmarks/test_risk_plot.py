"""The plot of risk and coverage: what counts as wrong on each curve, and that it shows what is in the repository."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PICTURE = BENCHMARKS.parent / "docs/images/risk_coverage.svg"


@pytest.fixture
def plot(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("risk_plot")


def row(nearest: float, right: bool, refused: bool = False) -> dict[str, Any]:
    return {"nearest": nearest, "right": right, "refused": refused, "told": True}


@pytest.mark.long
def test_refusals_count_as_wrong_answers_on_one_curve_only(plot) -> None:
    rows = [row(0.9, True), row(0.8, False, refused=True), row(0.7, False), row(0.6, True)]
    assert plot.by_score(rows) == [(0.25, 0.0), (0.5, 0.5), (0.75, 2 / 3), (1.0, 0.5)]
    assert plot.after_the_model(rows) == [(0.25, 0.0), (0.5, 0.5), (0.75, 1 / 3)]


def test_questions_of_one_score_are_answered_together(plot) -> None:
    assert plot.by_score([row(0.9, True), row(0.9, False), row(0.5, False)]) == [(2 / 3, 0.5), (1.0, 2 / 3)]
    assert plot.at([(0.5, 0.1), (1.0, 0.2)], 0.75) == (0.5, 0.1)
    assert plot.at([(0.5, 0.1)], 0.25) is None


def test_runs_are_read_whole_or_begun(plot, tmp_path: Path) -> None:
    truth = {"topic": "goods", "field": "weight", "kind": "open", "answer": "12 kg"}
    untold = {"topic": "goods", "field": "price", "kind": "unanswerable", "answer": "not in the samples"}
    told = [(0.9, truth, "12 kg"), (0.8, truth, "13 kg"), (0.7, truth, "not in the samples")]
    for name, file, answers in (
        ("ownpix_short", "log.jsonl", told),
        ("ownpix_unanswerable", "parts/000000.jsonl", [(0.6, untold, "not in the samples"), (0.5, untold, "12 kg")]),
    ):
        path = tmp_path / name / "retrieved-3" / file
        path.parent.mkdir(parents=True)
        (tmp_path / name / "retrieved-3" / "run.json").write_text("{}")
        records = [{"retrieved": [{"score": near}], "truth": of, "answer": answer} for near, of, answer in answers]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    rows = list(plot.questions(tmp_path))
    assert [(row["nearest"], row["told"], row["refused"], row["right"]) for row in rows] == [
        (0.9, True, False, True),
        (0.8, True, False, False),
        (0.7, True, True, False),
        (0.6, False, True, False),
        (0.5, False, False, False),
    ]


@pytest.mark.long
def test_the_picture_shows_the_points_of_the_repository(
    plot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = BENCHMARKS / "results" / "risk_ownpix.json"
    options = ["risk_plot.py", "--results", str(results), "--out", str(tmp_path / "a.svg")]
    monkeypatch.setattr(sys, "argv", options)
    plot.main()
    drawn = (tmp_path / "a.svg").read_text()
    assert "fill: #ffffff" in drawn  # its own ground, for dark pages
    assert "risk: of these, wrong (%)" in drawn  # texts stay in the file, as comments at least
    assert abs(len(drawn) - len(PICTURE.read_text())) < 0.2 * len(drawn)
    page = (BENCHMARKS.parent / "docs/asking.md").read_text()
    told = [line for line in capsys.readouterr().out.splitlines() if "%" in line]
    assert told
    assert [line for line in told if line not in page] == []
