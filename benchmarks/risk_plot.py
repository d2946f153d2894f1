"""Draws how often answers are wrong where some questions are refused: by the nearest sample's score, by the model.

    camml eval run ownpix_short ownpix_unanswerable --data DATA --store STORE --mode image-image --margin off \\
        --model camml-mini --shots 3 --retrieve 5 --limit 300 --spread --out RUNS
    python benchmarks/risk_plot.py --runs RUNS    # reads the runs, writes benchmarks/results/risk_ownpix.json, draws
    python benchmarks/risk_plot.py                # draws docs/images/risk_coverage.svg from what was written

On the first curve every question whose nearest sample has the score is answered, so that "not in the samples" counts as
a wrong answer: where no sample tells there is no right one. On the second a question that the model refuses is not
answered. Questions with the same score are answered together or not at all.
"""

import argparse
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from camml.evaluation.files import write_bytes
from camml.evaluation.metrics.ownpix import right
from camml.factpix.questions import UNANSWERABLE
from camml.refusals import refuses

RESULTS = Path("benchmarks/results/risk_ownpix.json")
INK, BLUE, RED, GREY = "#1f2937", "#0072b2", "#d55e00", "#6b7280"
LEAST = 0.05
"""Share of the questions from which the curves are drawn: a rate of wrong answers among fewer says little."""
Row = Mapping[str, Any]
Point = tuple[float, float]
"""Coverage and risk, each from 0 to 1."""


def main() -> None:
    """Read runs if any are given, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="the folder of `camml eval run`")
    parser.add_argument("--machine", default="2 shared cores of an AMD EPYC, AVX2", help="(%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="(%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs/images/risk_coverage.svg"), help="(%(default)s)")
    args = parser.parse_args()
    if args.runs:
        document = {"date": str(date.today()), "machine": args.machine, "questions": list(questions(args.runs))}
        write_bytes(args.results, (json.dumps(document, indent=0) + "\n").encode())
    document = json.loads(args.results.read_text())
    write_bytes(args.out, drawn(document).encode())
    print(table(document["questions"]))


def questions(runs: Path) -> Iterator[dict[str, Any]]:
    """What the curves need to know of each question that was answered."""
    for run in sorted(path.parent for path in runs.glob("*/*/run.json")):
        files = [run / "log.jsonl"] if (run / "log.jsonl").exists() else sorted((run / "parts").glob("*.jsonl"))
        for record in (json.loads(line) for file in files for line in file.read_text().splitlines()):
            refused = refuses(record["answer"])
            told = record["truth"]["kind"] != UNANSWERABLE
            correct = told and not refused and bool(right(record["answer"], record["truth"]))
            yield {"task": run.parent.name, "nearest": record["retrieved"][0]["score"], "told": told,
                   "refused": refused, "right": correct}  # fmt: skip


def by_score(rows: Sequence[Row]) -> list[Point]:
    """The curve of answering the questions with the nearest samples, a refusal by the model being a wrong answer."""
    return curve(rows, len(rows))


def after_the_model(rows: Sequence[Row]) -> list[Point]:
    """The curve of answering what the model does not refuse, the questions with the nearest samples first."""
    return curve([row for row in rows if not row["refused"]], len(rows))


def curve(rows: Sequence[Row], of: int) -> list[Point]:
    """Coverage of `of` questions and share of wrong answers at each threshold of the score, the highest first."""
    ordered = sorted(rows, key=lambda row: -row["nearest"])
    points, wrong = [], 0
    for count, row in enumerate(ordered, 1):
        wrong += not row["right"]
        if count == len(ordered) or ordered[count]["nearest"] < row["nearest"]:
            points.append((count / of, wrong / count))
    return points


def at(points: Sequence[Point], coverage: float) -> Point | None:
    """The point that answers at most such a share of the questions; None where even the first one answers more."""
    return max((point for point in points if point[0] <= coverage + 1e-9), default=None)


def drawn(document: Mapping[str, Any]) -> str:
    """The curves as SVG, on a ground of their own, so that they are read on dark pages as on light ones."""
    rows = document["questions"]
    settings = {"svg.hashsalt": "camml", "font.family": "DejaVu Sans", "font.size": 10, "text.color": INK,
                "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}  # fmt: skip
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained", facecolor="white")
        axes = figure.subplots()
        draw(axes, rows)
        told = sum(row["told"] for row in rows)
        axes.set_title(f"OwnPix, CaMML mini: {told} questions that a sample answers, {len(rows) - told} that none does",
                       fontsize=10, loc="left")  # fmt: skip
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Title": "Risk and coverage on OwnPix"})
    lines = [line.rstrip().replace('pt"', '"') for line in stream.getvalue().splitlines()]  # sizes without a unit
    return "\n".join(lines) + "\n"


def draw(axes: Axes, rows: Sequence[Row]) -> None:
    """Both curves, and the points of the model alone and of answering everything."""
    nearest, model = by_score(rows), after_the_model(rows)
    for points, colour, words in (
        (nearest, RED, "refused by the nearest sample's score alone"),
        (model, BLUE, "refused by the model, then by the score"),
    ):
        seen = [(100 * share, 100 * risk) for share, risk in points if share >= LEAST]
        axes.plot(*zip(*seen, strict=True), color=colour, linewidth=2, label=words)
    for (share, risk), colour, words, shift in (
        (nearest[-1], RED, "everything answered", (-4, 10)),
        (model[-1], BLUE, "the model's own refusals", (10, -4)),
    ):
        axes.plot(100 * share, 100 * risk, "o", color=colour, markersize=7, clip_on=False)
        axes.annotate(f"{words}: {100 * risk:.0f} % wrong", (100 * share, 100 * risk), xytext=shift, color=colour,
                      textcoords="offset points", ha="right" if shift[0] < 0 else "left")  # fmt: skip
    axes.set(xlim=(0, 100), ylim=(0, 100 * min(1, nearest[-1][1] + 0.12)))
    axes.set(xlabel="coverage: questions answered (%)", ylabel="risk: of these, wrong (%)")
    axes.grid(color="0.9")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def table(rows: Sequence[Row]) -> str:
    """Some points of both curves as Markdown."""
    lines = ["| answered at most, % | 100 | 75 | 50 | 25 |", "|---|---|---|---|---|"]
    for words, points in (("score", by_score(rows)), ("model, then score", after_the_model(rows))):
        cells = ((at(points, share / 100), share) for share in (100, 75, 50, 25))
        told = (f"{100 * point[1]:.1f} ({100 * point[0]:.0f})" if point else "" for point, _ in cells)
        lines.append(f"| {words}: wrong, % (answered, %) | {' | '.join(told)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
