"""The page of a run and its data."""

from pathlib import Path

import pytest

from camml.evaluation.report.page import PROMPTS_A_FILE, write_run
from camml.evaluation.report.pictures import Pictures
from camml.evaluation.report.runs import find_runs
from camml.evaluation.report.samples import Stores
from tests.evaluation.report.conftest import page_data, record


def written(folder: Path, out: Path) -> tuple[dict[str, int], Path]:
    [run], _ = find_runs([folder])
    wrong = write_run(run, out, Stores([]), out / "no data", Pictures(out / "pictures"))
    return wrong, out / "runs" / run.place


def test_it_says_how_the_run_was_made_and_what_came_out(run_folder, tmp_path: Path) -> None:
    wrong, folder = written(run_folder("a", [record(n, n / 2) for n in range(3)]), tmp_path / "out")
    page = (folder / "index.html").read_text()
    for text in ("OK-VQA", "camml-7b · retrieved-1", "<strong>50.0</strong>", "45.0 to 54.0", "12.5000",
                 "the nearest samples", "<td>perceiver</td>", "datastore encoder name", "--store"):  # fmt: skip
        assert text in page
    assert wrong == {folder.name: 1}
    assert [entry["verdict"] for entry in page_data(folder)["entries"]] == ["wrong", "partly", "right"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [({}, "all 1"), ({"limit": 1}, "the first 1"), ({"limit": 1, "spread": True}, "1 drawn from all alike")],
)
def test_it_says_which_questions_were_asked(run_folder, tmp_path: Path, changes, told) -> None:
    _, folder = written(run_folder("a", [record(0)], **changes), tmp_path / "out")
    assert f"<td>{told}</td>" in (folder / "index.html").read_text()


def test_long_runs_keep_their_prompts_in_files_of_their_own(run_folder, tmp_path: Path) -> None:
    number = PROMPTS_A_FILE + 1
    _, folder = written(run_folder("a", [record(n) for n in range(number)]), tmp_path / "out")
    assert len(page_data(folder)["entries"]) == number
    assert "prompt 0" not in (folder / "records.js").read_text()
    assert (folder / "prompts-1.js").read_text() == f'camml.prompts[1] = ["prompt {number - 1}"];\n'


def test_a_run_without_scores_has_no_wrong_answers(run_folder, tmp_path: Path) -> None:
    wrong, folder = written(run_folder("a", [record(0, None)], score=None), tmp_path / "out")
    assert wrong == {}
    assert "not scored" in (folder / "index.html").read_text()


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "\u2028 \ud800 \x00", "\U0001f600"])
def test_data_is_plain_ascii_whatever_the_texts_are(run_folder, tmp_path: Path, text: str) -> None:
    _, folder = written(run_folder("a", [record(0, answer=text, prompt=text)]), tmp_path / "out")
    assert page_data(folder)["entries"][0]["answer"] == text
