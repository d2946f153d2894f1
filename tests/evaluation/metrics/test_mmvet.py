"""MM-Vet's judge prompt, grades and tables."""

import hashlib
from pathlib import Path

import pytest

from camml.errors import OptionError, SampleError
from camml.evaluation.metrics.mmvet import grade_id, judge_prompt, measure, read_grade, read_grades
from camml.evaluation.task import Item, Settings
from tests.layouts import document

ITEMS = [
    Item("0", 0, "?", truth={"capability": ["ocr", "math"]}),
    Item("1", 1, "?", truth={"capability": ["rec"]}),
    Item("2", 2, "?", truth={"capability": ["math", "ocr"]}),
]


def _measure(path: Path, grades: dict[str, object]) -> dict[str, float]:
    return dict(measure(ITEMS, {}, Settings(grades=document(path / "grades.json", grades))).values)


def test_the_judge_is_asked_word_for_word_as_officially() -> None:
    prompt = judge_prompt("What?", "a<AND>b", "said")
    head, _, last = prompt.rpartition("\n")
    assert last == "What? | a <AND> b | said | "
    assert (
        hashlib.sha256(head.encode()).hexdigest() == "d1b3e0a5b4e72c888b77164489d705bba4dd149934fff564dfba6443d81afe3f"
    )


@pytest.mark.parametrize(
    ("reply", "grade"),
    [("0.7", 0.7), (" 1.0 because", 1.0), ("1.1", None), ("-0.1", None), ("good", None), ("", None), ("nan", None)],
)
def test_a_reply_starts_with_its_grade(reply: str, grade: float | None) -> None:
    assert read_grade(reply) == grade


def test_tables_of_a_hand_worked_case(tmp_path: Path) -> None:
    """Two runs of the judge: ocr and math (0.5, 1.0) and (1.0, 0.0), rec (0.2, 0.4)."""
    result = _measure(
        tmp_path, {"v1_0": {"score": [0.5, 1.0]}, "v1_1": {"score": [0.2, 0.4]}, "v1_2": {"score": [1.0, 0]}}
    )
    assert result["total"] == pytest.approx(100 * (1.7 + 1.4) / 6)
    assert result["std"] == pytest.approx(100 * (1.7 - 1.4) / 6)
    assert result["runs"] == 2
    assert (
        result["capability/ocr"] == result["capability/math"] == result["combination/math_ocr"] == pytest.approx(62.5)
    )
    assert result["capability/rec"] == result["combination/rec"] == pytest.approx(30)
    columns = ["capability/math", "capability/ocr", "capability/rec", "combination/math_ocr", "combination/rec"]
    assert list(result)[3:] == columns


def test_ids_of_the_official_files() -> None:
    assert [grade_id(Item("x", key, "?")) for key in (3, "3", "v1_3")] == ["v1_3"] * 3


def test_what_is_wrong_with_grades_is_said(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="graded by a judge"):
        measure(ITEMS, {}, Settings())
    with pytest.raises(SampleError, match="no grades for 2 questions: v1_1, v1_2"):
        _measure(tmp_path, {"v1_0": {"score": [1]}})
    for bad in ({"v1_0": {"score": [2]}}, {"v1_0": {"score": []}}, {"v1_0": "good"}, [], {}):
        with pytest.raises(SampleError):
            read_grades(document(tmp_path / "bad.json", bad))


def test_grades_of_more_and_fewer_runs_are_said(tmp_path: Path) -> None:
    grades = {"v1_0": {"score": [1, 0, 0]}, "v1_1": {"score": [1]}, "v1_2": {"score": [1, 0]}}
    result = measure(ITEMS, {}, Settings(grades=document(tmp_path / "grades.json", grades)))
    assert (result.values["total"], result.values["runs"]) == (100, 1)
    assert "the answers have from 1 to 3 grades each; the first 1 of each are counted" in result.notes
