"""The tables of the leaderboard."""

from pathlib import Path

import pytest

from camml.evaluation.report.leaderboard import markdown, number, rankings, systems
from camml.evaluation.report.runs import find_runs
from tests.evaluation.report.conftest import record, write_run


@pytest.mark.long
def test_runs_stand_among_published_figures_the_best_first(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [record(0)], score=65.0)
    write_run(tmp_path / "b", [record(0)], score=None, context="none", shots=0)
    runs, _ = find_runs([tmp_path])
    result = rankings(runs)
    assert [row.system for row in result[0].rows] == [
        "CaMML-13B", "camml-7b · retrieved-1", "CaMML-7B", "camml-7b · no context"
    ]  # fmt: skip
    assert result[0].measure.title == "OK-VQA"
    assert len(result) == 21  # 19 published tasks; fine-tuned ScienceQA has three numbers
    assert systems(runs)[:2] == ["camml-7b · retrieved-1", "camml-7b · no context"]


@pytest.mark.long
def test_markdown_has_links_intervals_and_says_what_is_not_comparable(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [record(0)], score=65.0, limit=1, model={"name": "a|b_[c]"})
    runs, _ = find_runs([tmp_path])
    text = markdown("Runs", rankings(runs), runs)
    link = "[65.0](runs/okvqa-a-b-c-retrieved-1/index.html) (first 1)"
    assert f"| OK-VQA | {link} | 64.7 | 66.3 |  |  |" in text
    assert (
        r"[a\|b\_\[c\] · retrieved-1](runs/okvqa-a-b-c-retrieved-1/index.html) | 65.0 | 60.0 to 69.0 | first 1 |"
        in text
    )
    assert '"first N": only so many' in text
    write_run(tmp_path / "b", [record(0)], limit=1, spread=True)
    runs, _ = find_runs([tmp_path])
    assert '"first N" and "N drawn": only so many' in markdown("Runs", rankings(runs), runs)
    assert "https://arxiv.org/abs/2401.03149" in text
    table = text.split("\n\n")[1].splitlines()
    assert {line.replace(r"\|", "").count("|") for line in table} == {7}


@pytest.mark.parametrize(
    ("value", "text"), [(66.9, "66.9"), (91.32, "91.32"), (1506.9, "1506.9"), (0, "0.0"), (33.333, "33.33")]
)
def test_numbers_are_written_as_papers_do(value: float, text: str) -> None:
    assert number(value) == text


def test_drawn_questions_are_not_called_the_first(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [record(0)], limit=1, spread=True)
    runs, _ = find_runs([tmp_path])
    text = markdown("T", rankings(runs), runs)
    assert "1 drawn" in text
    assert '"N drawn": only so many' in text
    assert "first N" not in text
    assert "first 1" not in text
