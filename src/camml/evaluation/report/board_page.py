"""The leaderboard as a page: an overview of all tasks, and a ranking of each with its intervals drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from camml import __version__
from camml.evaluation.report.leaderboard import Ranking, Row, name_of, notes, systems
from camml.evaluation.report.published import MODELS, Measure
from camml.evaluation.report.rendering import page
from camml.evaluation.report.runs import Run

WIDTH, MARGIN = 160, 6
"""Pixels of the drawing of a score with its interval."""


@dataclass(frozen=True, slots=True)
class Table:
    """A ranking as the page shows it.

    Attributes:
      ranking: the systems, the best first.
      low, high: the least and the greatest end of an interval, between which scores are drawn.
    """

    ranking: Ranking
    low: float
    high: float

    @property
    def measure(self) -> Measure:
        """The number that is ranked."""
        return self.ranking.measure

    @property
    def rows(self) -> tuple[Row, ...]:
        """The systems, the best first."""
        return self.ranking.rows

    @property
    def name(self) -> str:
        """The heading."""
        return name_of(self.measure)

    @property
    def anchor(self) -> str:
        """The end of an address that leads to the table."""
        return f"{self.measure.task}-{self.measure.name.replace('/', '-')}"

    @property
    def ran(self) -> bool:
        """True where one of the systems was run here."""
        return any(row.run for row in self.rows)

    @property
    def best(self) -> str | None:
        """The best system among those that were asked all questions."""
        return next((row.system for row in self.rows if row.figure and not (row.run and row.run.subset)), None)

    def of(self, system: str) -> Row | None:
        """Return the row of a system."""
        return self.ranking.of(system)

    def place(self, value: float) -> float:
        """Return where a score is drawn, in pixels from the left."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)


def board_page(title: str, rankings: Sequence[Ranking], runs: Sequence[Run], wrong: dict[str, int]) -> bytes:
    """Return the leaderboard as a page of HTML.

    Args:
      title: its heading.
      rankings: what it shows.
      runs: all of them.
      wrong: number of wrong answers of a run, by its place.
    """
    return page(
        "leaderboard.html",
        root=".",
        title=title,
        rankings=[_table(ranking) for ranking in rankings],
        runs=runs,
        systems=systems(runs),
        models=MODELS,
        wrong=wrong,
        notes=[*notes(runs), f"CaMML {__version__}"],
    )


def _table(ranking: Ranking) -> Table:
    figures = [row.figure for row in ranking.rows if row.figure]
    ends = [end for figure in figures for end in (figure.value, figure.low, figure.high) if end is not None]
    return Table(ranking, min(ends, default=0.0), max(ends, default=1.0))
