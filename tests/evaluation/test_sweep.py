"""Runs of one task side by side."""

from pathlib import Path

from PIL import Image

from camml.evaluation.contexts import Variant
from camml.evaluation.run import Outcome
from camml.evaluation.score import Score
from camml.evaluation.statistics import Interval
from camml.evaluation.sweep import lines, markdown, plot, text


def outcome(context: str, shots: int, value: float | None) -> Outcome:
    """A run of POPE, whose F1 papers give in percent."""
    score = None
    if value is not None:
        score = Score("pope", "f1/mean", {"f1/mean": value}, Interval(value - 0.1, value + 0.2), {})
    measured = {"tokens": {"prompt": 170.4}, "seconds": {"answer": 0.517}, "retrieval": {"hit@1": 50.0}}
    return Outcome("pope", Variant(context, shots), Path("out"), 12, score, "" if score else "later", None, measured)


RUNS = [outcome("none", 0, 0.5), outcome("retrieved", 3, 0.8), outcome("retrieved", 1, 0.6), outcome("random", 1, None)]


def test_tables_have_a_row_a_run_in_the_points_of_papers() -> None:
    rows = markdown(RUNS).splitlines()
    assert rows[3] == "| pope | retrieved | 3 | 80.00 | 70.00 to 100.00 | f1/mean | 12 | 170 | 0.52 | - |"
    assert rows[5] == "| pope | random | 1 | - | later | - | 12 | 170 | 0.52 | 50.0 |"
    assert text(RUNS).splitlines()[1].split()[:4] == ["pope", "none", "0", "50.00"]


def test_every_line_begins_without_samples() -> None:
    [(name, points)] = lines(RUNS).items()
    assert name == "retrieved"
    assert [(shots, round(value)) for shots, value, _, _ in points] == [(0, 50), (1, 60), (3, 80)]
    assert [round(side) for side in points[0][2:]] == [10, 20]


def test_the_plot_is_a_picture(tmp_path) -> None:
    plot(RUNS, tmp_path / "new" / "shots.png")
    with Image.open(tmp_path / "new" / "shots.png") as picture:
        assert picture.size == (900, 600)
