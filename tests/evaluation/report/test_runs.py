"""Run folders are found, read and named."""

import json
from pathlib import Path

import pytest

from camml.errors import SampleError
from camml.evaluation.report.published import measures
from camml.evaluation.report.runs import Figure, find_runs
from tests.evaluation.report.conftest import record, write_run
from tests.layouts import document


def test_runs_are_found_below_a_folder_each_once_and_unfinished_ones_are_named(run_folder, tmp_path: Path) -> None:
    single = run_folder("b/okvqa/retrieved-1", [record(0)])
    run_folder("a/okvqa/none", [record(0)], context="none", shots=0)
    begun = run_folder("a/okvqa/random-1", [record(0)], context="random")
    (begun / "log.jsonl").unlink()
    document(tmp_path / "runs/training/run.json", {"learning_rate": 1})
    result, unfinished = find_runs([tmp_path / "runs", single])
    assert [run.system for run in result] == ["camml-7b · no context", "camml-7b · retrieved-1"]
    assert unfinished == [begun]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "run.json").unlink(), "holds no run"),
        (lambda folder: (folder / "log.jsonl").unlink(), "not finished"),
        (lambda folder: (folder / "run.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "score.json").write_text("[]"), "is not a score"),
    ],
)
def test_what_is_no_run_is_refused_by_name(run_folder, change, message: str) -> None:
    folder = run_folder("one", [record(0)])
    change(folder)
    with pytest.raises(SampleError, match=message) as caught:
        find_runs([folder])
    assert str(folder) in str(caught.value)


def test_an_unknown_kind_of_context_is_refused(run_folder) -> None:
    with pytest.raises(SampleError, match="'guessed'"):
        find_runs([run_folder("one", [record(0)], context="guessed")])


def test_a_broken_line_of_a_log_is_named(run_folder) -> None:
    [run], _ = find_runs([run_folder("one", [record(0), {"id": "q1"}])])
    with pytest.raises(SampleError, match="line 2"):
        list(run.records())


def test_systems_that_differ_get_different_names_and_the_same_one_keeps_its_name(tmp_path: Path) -> None:
    other = {"name": "camml-7b", "hash": "another"}
    write_run(tmp_path / "1", [record(0)])
    write_run(tmp_path / "2", [record(0)], task="vizwiz")
    write_run(tmp_path / "3", [record(0)], model=other)
    write_run(tmp_path / "4", [record(0)], model=other, task="vizwiz")
    write_run(tmp_path / "5", [record(0)])
    result, _ = find_runs([tmp_path])
    names = [run.system.removeprefix("camml-7b · retrieved-1") for run in result]
    assert names == ["", "", " (2)", " (2)", " (3)"]
    assert len({run.place for run in result}) == 5


def test_a_place_is_a_plain_name_whatever_the_model_is_called(run_folder) -> None:
    [run], _ = find_runs([run_folder("one", [record(0)], model={"name": "../<b>/" + "x" * 300})])
    assert run.place.startswith("okvqa-b-x")
    assert len(run.place) <= 80
    assert run.place.replace("-", "").isalnum()


def test_a_figure_is_in_the_points_of_papers_with_its_interval(run_folder) -> None:
    folder = run_folder("one", [record(0)], task="pope")
    score = {"values": {"f1": {"mean": 0.864}, "accuracy": {"mean": 0.9}}, "interval": {"low": 0.85, "high": 0.88}}
    (folder / "score.json").write_text(json.dumps(score))
    [run], _ = find_runs([folder])
    assert run.figure(measures("pope")[0]) == Figure(86.4, 85.0, 88.0)
    assert run.figure(measures("gqa")[0]) is None
