"""Several runs of one task side by side: a table, and the score over the number of samples as a plot."""

import io
from collections.abc import Sequence
from pathlib import Path

from camml.errors import OptionError
from camml.evaluation.files import write_bytes
from camml.evaluation.run import Outcome
from camml.evaluation.task import find

HEADER = ("task", "context", "shots", "score", "95 % interval", "measure", "answers", "tokens", "seconds", "hit")
"""Tokens that the language model read, seconds for an answer, and how often a right sample was among those given."""


def rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Return a row of texts for each run, under HEADER; scores in the points of papers."""
    return [_row(outcome) for outcome in outcomes]


def _row(outcome: Outcome) -> tuple[str, ...]:
    value, interval, measure = "-", outcome.note or "-", "-"
    if score := outcome.score:
        points = find(outcome.task).points
        measure = score.headline
        if score.headline in score.values:
            value = f"{points * score.values[score.headline]:.2f}"
        if score.interval:
            interval = f"{points * score.interval.low:.2f} to {points * score.interval.high:.2f}"
    variant = outcome.variant
    known = outcome.task, variant.context, str(variant.shots), value, interval, measure, _answers(outcome)
    return *known, *_measured(outcome)


def _answers(outcome: Outcome) -> str:
    """Return how many answers there are, and of how many questions where some have none."""
    lacking = sum(outcome.score.unanswered.values()) if outcome.score else 0
    return f"{outcome.answers - lacking} of {outcome.answers}" if lacking else str(outcome.answers)


def _measured(outcome: Outcome) -> tuple[str, str, str]:
    """Format tokens, seconds and hits of a run, each a dash where it was not measured."""
    measured = outcome.measures
    tokens = measured["tokens"]["prompt"] if measured else 0
    seconds = measured["seconds"]["answer"] if measured else None
    hit = measured["retrieval"].get(f"hit@{outcome.variant.shots}") if measured else None
    return (
        f"{tokens:.0f}" if tokens else "-",
        "-" if seconds is None else f"{seconds:.2f}",
        "-" if hit is None else f"{hit:.1f}",
    )


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Format the rows as a Markdown table."""
    lines = [HEADER, ("---",) * len(HEADER), *rows(outcomes)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def text(outcomes: Sequence[Outcome]) -> str:
    """Format the rows as a table for a terminal."""
    lines = [HEADER, *rows(outcomes)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                     for line in lines)  # fmt: skip


def plot(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the headline score over the number of samples, with its interval, as PNG; a line a kind of context.

    Raises:
      OptionError: matplotlib is not there.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise OptionError("a plot needs matplotlib: pip install 'camml[eval]'") from None
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for context, series in lines(outcomes).items():
        shots, values, below, above = zip(*series, strict=True)
        axes.errorbar(shots, values, yerr=(below, above), label=context, marker="o", capsize=3)
    task = find(outcomes[0].task)
    axes.set_xlabel("samples given (shots)")
    axes.set_ylabel(f"{task.title}: {task.headline}")
    axes.set_xticks(sorted({outcome.variant.shots for outcome in outcomes}))
    axes.grid(color="0.85")
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_bytes(path, buffer.getvalue())


def lines(outcomes: Sequence[Outcome]) -> dict[str, list[tuple[int, float, float, float]]]:
    """Group (shots, score, reach of the interval below, above) by kind of context; no samples begins each.

    A kind of context with one number of samples is a line of one point, or two with the run without samples.
    """
    points: dict[str, list[tuple[int, float, float, float]]] = {}
    for outcome in outcomes:
        score = outcome.score
        if score is None or score.headline not in score.values:
            continue
        factor = find(outcome.task).points
        value = factor * score.values[score.headline]
        low = factor * score.interval.low if score.interval else value
        high = factor * score.interval.high if score.interval else value
        point = (outcome.variant.shots, value, max(0.0, value - low), max(0.0, high - value))
        points.setdefault(outcome.variant.context, []).append(point)
    start = points.pop("none", [])
    return {name: sorted(start + own) for name, own in points.items()} or ({"none": start} if start else {})
