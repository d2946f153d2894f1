"""A report of real runs."""

from pathlib import Path

import pytest

from camml.errors import OptionError
from camml.evaluation.contexts import Variant
from camml.evaluation.report import write_report
from camml.evaluation.run import run
from tests.evaluation.report.conftest import page_data, record


@pytest.fixture
def runs(options, tmp_path: Path) -> Path:
    """Runs of the tiny model on two tasks with two kinds of context."""
    made = options(out=tmp_path / "runs")
    run(["okvqa", "mmbench"], [Variant("retrieved", 1), Variant("copy", 1)], made)
    return tmp_path / "runs"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.long
def test_a_report_shows_questions_with_their_pictures_and_samples(runs, benchmarks, store_folder, tmp_path) -> None:
    out = tmp_path / "out"
    steps: list[tuple[int, int]] = []
    report = write_report([runs], out, stores=[str(store_folder)], data=benchmarks[0],
                          progress=lambda *step: steps.append(step))  # fmt: skip
    assert (report.runs, report.questions, report.lost, report.unfinished) == (4, 16, {}, ())
    assert steps[-1] == (4, 4)
    data = page_data(out / "runs" / "okvqa-camml-retrieved-1")
    assert [entry["truth"] for entry in data["entries"]] == ["yes", "2", "red bus"]
    for shown in (*data["entries"], *data["samples"]):
        assert (out / "pictures" / shown["picture"]).is_file()
    assert data["samples"][0]["text"].startswith("What is ")
    inside = page_data(out / "runs" / "mmbench-camml-retrieved-1")["entries"][0]  # its picture is in the question file
    assert (out / "pictures" / inside["picture"]).is_file()


@pytest.mark.long
def test_the_same_runs_give_the_same_report(runs, benchmarks, tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    for out in (first, second, second):
        write_report([runs], out, data=benchmarks[0])
    assert contents(first) == contents(second)


def test_pages_of_something_else_are_not_overwritten(run_folder, tmp_path: Path) -> None:
    folder = run_folder("a", [record(0)])
    (tmp_path / "index.html").write_text("<h1>My home page</h1>")
    with pytest.raises(OptionError, match="would be overwritten"):
        write_report([folder], tmp_path)
    assert (tmp_path / "index.html").read_text() == "<h1>My home page</h1>"
