"""All runs beside the published figures: tables of tasks and systems, as Markdown and as data of the page."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from camml.evaluation import task as tasks
from camml.evaluation.report.published import CAMML, LLAVA, MODELS, Measure, measures
from camml.evaluation.report.runs import Figure, Run


@dataclass(frozen=True, slots=True)
class Row:
    """A system's place in the ranking of a task.

    Attributes:
      system: its name.
      figure: None where there is no score.
      run: None where the figure is published.
    """

    system: str
    figure: Figure | None
    run: Run | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """A number of a task, with all systems that have it, the best first."""

    measure: Measure
    rows: tuple[Row, ...]

    def of(self, system: str) -> Row | None:
        """Return the row of a system."""
        return next((row for row in self.rows if row.system == system), None)


def rankings(runs: Sequence[Run]) -> list[Ranking]:
    """Rank each number that papers quote: of the tasks that were run first, then of all with such figures."""
    ran = sorted({run.task for run in runs})
    rest = [name for name, task in tasks.usable().items() if name not in ran and task.published]
    return [ranking(measure, runs) for name in (*ran, *rest) for measure in measures(name)]


def ranking(measure: Measure, runs: Sequence[Run]) -> Ranking:
    """Rank the systems that have this number; a run without it comes last."""
    rows = [Row(model, Figure(measure.figures[model])) for model in MODELS if model in measure.figures]
    rows += [Row(run.system, run.figure(measure), run) for run in runs if run.task == measure.task]
    return Ranking(measure, tuple(sorted(rows, key=lambda row: -row.figure.value if row.figure else float("inf"))))


def systems(runs: Sequence[Run]) -> list[str]:
    """Return the names of columns: the systems of the runs in their order, then the published models."""
    return [*dict.fromkeys(run.system for run in runs), *MODELS]


def number(value: float) -> str:
    """Format a figure as papers write it, with two decimals where it has them."""
    short = f"{value:.1f}"
    return short if abs(float(short) - value) < 5e-4 else f"{value:.2f}"


def spread(figure: Figure) -> str:
    """Return the interval of a figure in words."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{number(figure.low)} to {number(figure.high)}"


def name_of(measure: Measure) -> str:
    """Return a number's name in a table: the task's, and its own where it is not the headline."""
    return measure.title if measure.headline else f"{measure.title}, {measure.name.replace('_', ' ')}"


def asked(run: Run) -> str:
    """Say how many questions were asked, and whether these are all."""
    if not run.subset:
        return str(run.questions)
    return f"{run.questions} drawn" if run.drawn else f"first {run.questions}"


def markdown(title: str, rankings: Sequence[Ranking], runs: Sequence[Run]) -> str:
    """Return the leaderboard as Markdown, with links to the pages of the runs."""
    columns = systems(runs)
    lines = [f"# {_plain(title)}", "", *_row("task", *map(_plain, columns)), *_row(*["---"] * (len(columns) + 1))]
    for table in rankings:
        lines += _row(_plain(name_of(table.measure)), *(_cell(table.of(system)) for system in columns))
    for table in rankings:
        if any(row.run for row in table.rows):
            lines += ["", f"## {_plain(name_of(table.measure))}", ""]
            lines += _row("system", table.measure.name, "95 % interval", "questions") + _row(*["---"] * 4)
            lines += [line for row in table.rows for line in _row(*_cells(row))]
    return "\n".join([*lines, "", *(f"{note}\n" for note in notes(runs))])


def notes(runs: Sequence[Run]) -> list[str]:
    """List what a reader must know to compare the numbers."""
    remarks = [
        "All numbers are in the points of papers; more is better. Intervals are 95 %, by bootstrap over images.",
        f"Published figures: {CAMML.title}, {CAMML.url}, whose tables also give those of {LLAVA.title}, {LLAVA.url}. "
        "They have no intervals.",
    ]
    if any(run.subset for run in runs):
        words = dict.fromkeys('"N drawn"' if run.identity.get("spread") else '"first N"' for run in runs if run.subset)
        marks = " and ".join(words)
        remarks.append(
            f"{marks}: only so many questions were asked; such a score does not compare with published ones."
        )
    if any(run.score and _without_width(run.score.get("interval")) for run in runs):
        remarks.append(
            "An interval without width: all answers scored the same. It says little about further questions."
        )
    return remarks + [
        f"{run.system}, {run.task}: {note}." for run in runs for note in (run.score or {}).get("notes") or []
    ]


def _without_width(interval: Mapping[str, float] | None) -> bool:
    return interval is not None and interval["low"] == interval["high"]


def _cell(row: Row | None) -> str:
    if row is None or (row.figure is None and row.run is None):
        return ""
    text = number(row.figure.value) if row.figure else "not scored"
    if row.run is None:
        return text
    return f"[{text}](runs/{row.run.place}/index.html)" + (f" ({asked(row.run)})" if row.run.subset else "")


def _cells(row: Row) -> tuple[str, str, str, str]:
    if row.run is None:
        return _plain(row.system), number(row.figure.value) if row.figure else "", "published", ""
    score = number(row.figure.value) if row.figure else "not scored"
    link = f"[{_plain(row.system)}](runs/{row.run.place}/index.html)"
    return link, score, spread(row.figure) if row.figure else "", asked(row.run)


def _row(*cells: str) -> list[str]:
    return [f"| {' | '.join(cells)} |"]


def _plain(text: str) -> str:
    """Escape text so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", " ".join(text.split()))
