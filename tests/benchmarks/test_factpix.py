"""The protocol of FactPix on tiny models: all of it runs, goes on where it stopped, and is drawn."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from tests.factpix_layout import write_factpix

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def scripts() -> dict[str, ModuleType]:
    """The scripts as modules."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import factpix
        import plots
    finally:
        sys.path.remove(str(BENCHMARKS))
    return {"factpix": factpix, "plots": plots}


@pytest.fixture(scope="module")
def finished(scripts, camml_folder, llm_folder, tmp_path_factory) -> tuple[list[str], Path]:
    """The command, and the folder in which it was run once."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("protocol")
    write_factpix(folder / "data")
    command = ["factpix.py", "--data", str(folder / "data"), "--model", str(camml_folder), "--baseline",
               str(llm_folder), "--encoder", "hashed", "--limit", "6", "--choose", "4", "--runs", str(folder / "runs"),
               "--out", str(folder / "results"), "--label", "tiny", "--device", "cpu"]  # fmt: skip
    call(scripts["factpix"], command)
    return command, folder


def call(script: ModuleType, command: list[str]) -> None:
    before, sys.argv = sys.argv, command
    try:
        script.main()
    finally:
        sys.argv = before


def results(folder: Path) -> dict:
    return json.loads((folder / "results/factpix_tiny.json").read_text())


def test_all_that_is_always_reported_is_there(finished) -> None:
    report = results(finished[1])
    runs = {(row["system"], row["split"], row["context"], row["shots"]) for row in report["runs"]}
    wanted = [("none", 0), *(("retrieved", shots) for shots in (1, 3, 5, 8)), ("random", 3), ("shuffled", 3),
              ("no_images", 3), ("no_texts", 3), ("oracle", 1), ("oracle", 3)]  # fmt: skip
    assert {("camml", "heldout", *kind) for kind in wanted} <= runs
    assert {("no_model", "heldout", "copy", 1), ("no_model", "heldout", "majority", 3)} <= runs
    assert {("camml", split, "retrieved", 3) for split in ("style", "late", "late_before")} <= runs
    shots = report["chosen_on_validation"]["in_prompt"]["shots"]
    assert ("in_prompt", "heldout", "retrieved", shots) in runs
    for row in report["runs"]:
        assert row["questions"] == 6 or row["split"].startswith("late")
        assert row["interval"]["low"] <= row["accuracy"] <= row["interval"]["high"]
        assert row["context"] == "none" or row["retrieval"]
        assert (row["tokens"]["prompt"] > 0) is (row["system"] != "no_model")
    assert {row["classes"] for row in report["runs"] if row["split"] == "heldout"} == {6}


def test_late_knowledge_is_there_after_the_addition_alone(finished) -> None:
    rows = [
        row for row in results(finished[1])["runs"] if row["split"].startswith("late") and row["context"] == "retrieved"
    ]
    hits = {row["split"]: row["retrieval"]["hit@5"] for row in rows}
    assert hits["late_before"] == 0 < hits["late"]


def test_runs_are_compared_and_held_against_the_goals(finished) -> None:
    report = results(finished[1])
    named = {(comparison["first"], comparison["second"]) for comparison in report["comparisons"]}
    style = report["chosen_on_validation"]["in_prompt"]
    assert ("camml retrieved-3", "camml none") in named
    assert ("camml retrieved-3", f"in_prompt retrieved-{style['shots']}") in named
    assert ("camml retrieved-3", "no_model copy") in named
    assert all(0 < comparison["p_value"] <= 1 for comparison in report["comparisons"])
    accuracy = {
        (row["system"], row["context"], row["shots"]): row for row in report["runs"] if row["split"] == "heldout"
    }
    random, none = (accuracy["camml", *kind]["accuracy"] for kind in (("random", 3), ("none", 0)))
    assert report["goals"]["random context minus none, at least -2"] == pytest.approx(random - none)
    assert len(report["goals"]) == 7


def test_a_finished_protocol_is_read_and_not_repeated(finished, scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    from camml.evaluation.models import Model

    monkeypatch.setattr(Model, "answerer", None)  # calling it would fail
    before = results(finished[1])
    call(scripts["factpix"], finished[0])
    after = results(finished[1])
    assert {**after, "date": ""} == {**before, "date": ""}


def test_other_samples_than_those_of_the_datastore_are_refused(finished, scripts, tmp_path) -> None:
    folder = finished[1]
    samples = json.loads((folder / "data/samples.json").read_text())
    (tmp_path / "samples.json").write_text(json.dumps(samples[:-1]))
    with pytest.raises(SystemExit, match=r"holds 12 samples, .* 11; remove that folder"):
        scripts["factpix"].build_store(tmp_path / "samples.json", folder / "data/store", "hashed", {})


def test_plots_are_drawn(finished, scripts, tmp_path) -> None:
    call(scripts["plots"], ["plots.py", str(finished[1] / "results/factpix_tiny.json"), "--out", str(tmp_path)])
    for what in ("accuracy", "tokens"):
        with Image.open(tmp_path / f"factpix_tiny_{what}.png") as picture:
            assert picture.size == (1050, 750)
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 50
