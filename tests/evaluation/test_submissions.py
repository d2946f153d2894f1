"""Submissions as the official servers take them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from camml.errors import OptionError
from camml.evaluation.files import read_lines
from camml.evaluation.score import write_submission
from tests.layouts import Records, answer, lines

Benchmarks = tuple[Path, dict[str, Records]]
JSON = {
    "vqav2": [{"question_id": n, "answer": text} for n, text in enumerate(("yes", "2", "red bus"))],
    "vizwiz": [{"image": f"{n}.png", "answer": text} for n, text in enumerate(("yes", "2", "red bus"))],
    "gqa": [{"questionId": "200", "prediction": "yes"}, {"questionId": "201", "prediction": "left"},
            {"questionId": "202", "prediction": "dog"}],
    "textvqa": [{"question_id": 34600, "answer": "nous"}, {"question_id": 34601, "answer": "1998"},
                {"question_id": 34602, "answer": "stop"}],
    "mmvet": {"v1_0": "a", "v1_1": "a", "v1_2": "a"},
    "coco_caption": [{"image_id": 11, "caption": "a dog runs on the beach"},
                     {"image_id": 12, "caption": "two people ride a red bus"}],
    "aokvqa": {"q0": {"multiple_choice": "tree", "direct_answer": "A"},
               "q1": {"multiple_choice": "bus", "direct_answer": "bus"},
               "q2": {"multiple_choice": "dog", "direct_answer": "C. dog"}},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(JSON))
def test_json_submissions(
    name: str, benchmarks: Benchmarks, answer_file: Callable[[str], Path], tmp_path: Path
) -> None:
    assert write_submission(name, benchmarks[0], answer_file(name), tmp_path / "new" / "upload.json") == len(JSON[name])
    assert json.loads((tmp_path / "new" / "upload.json").read_text()) == JSON[name]


def test_vqav2_covers_the_whole_test_split(tmp_path: Path) -> None:
    asked = {"question_id": 7, "image": "x.jpg", "text": "?"}
    lines(tmp_path / "vqav2" / "llava_vqav2_mscoco_test-dev2015.jsonl", [asked])
    lines(tmp_path / "vqav2" / "llava_vqav2_mscoco_test2015.jsonl", [asked | {"question_id": 5}, asked])
    write_submission("vqav2", tmp_path, lines(tmp_path / "a.jsonl", [answer(7, "The Dog.")]), tmp_path / "u.json")
    uploaded = json.loads((tmp_path / "u.json").read_text())
    assert uploaded == [{"question_id": 5, "answer": ""}, {"question_id": 7, "answer": "dog"}]


def test_seed_lines(benchmarks: Benchmarks, answer_file: Callable[[str], Path], tmp_path: Path) -> None:
    write_submission("seed_bench", benchmarks[0], answer_file("seed_bench"), tmp_path / "u.jsonl")
    results = [value for _, value in read_lines(tmp_path / "u.jsonl")]
    assert results[:2] == [{"question_id": "v0", "prediction": "A"}, {"question_id": "101", "prediction": "B"}]


def test_mme_files_are_those_of_the_official_tool(
    benchmarks: Benchmarks, answer_file: Callable[[str], Path], tmp_path: Path
) -> None:
    write_submission("mme", benchmarks[0], answer_file("mme"), tmp_path / "results")
    assert sorted(path.stem for path in (tmp_path / "results").iterdir()) == ["artwork", "code_reasoning", "existence"]
    rows = (tmp_path / "results" / "artwork.txt").read_text().splitlines()
    assert rows[0].split("\t") == ["0000.txt", "Is it so?  Please answer yes or no.", "Yes", "Yes"]
    assert len(rows) == 4


def test_mmbench_sheet(benchmarks: Benchmarks, answer_file: Callable[[str], Path], tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    write_submission("mmbench", benchmarks[0], answer_file("mmbench"), tmp_path / "u.xlsx")
    rows = list(openpyxl.load_workbook(tmp_path / "u.xlsx").active.values)
    assert rows[0] == ("index", "question", "A", "B", "C", "D", "prediction", "answer", "split")
    assert rows[1] == (241, "Which?", "cat", "dog", None, None, "B", "B", "dev")
    assert len(rows) == 6


def test_control_characters_do_not_break_the_sheet(benchmarks: Benchmarks, tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    records = [record | {"text": "B\x00\x1b!"} for record in benchmarks[1]["mmbench"]]
    assert write_submission("mmbench", benchmarks[0], lines(tmp_path / "a.jsonl", records), tmp_path / "u.xlsx") == 5


def test_a_missing_package_is_said(
    benchmarks: Benchmarks, answer_file: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(OptionError, match="needs openpyxl"):
        write_submission("mmbench", benchmarks[0], answer_file("mmbench"), tmp_path / "u.xlsx")
    assert not (tmp_path / "u.xlsx").exists()
