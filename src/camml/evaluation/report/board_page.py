"""The leaderboard as a page: an overview of all tasks, and a ranking of each with its intervals drawn."""

import re
from collections.abc import Iterator, Sequence

from camml import __version__
from camml.evaluation.report.leaderboard import (
    Ranking,
    Row,
    asked,
    name_of,
    notes,
    number,
    spread,
    systems,
)
from camml.evaluation.report.markup import Markup, document, element, joined
from camml.evaluation.report.published import MODELS
from camml.evaluation.report.runs import Run


def board_page(title: str, found: Sequence[Ranking], runs: Sequence[Run], wrong: dict[str, int]) -> bytes:
    """Return the leaderboard as a page of HTML.

    Args:
      title: its heading.
      found: what it shows.
      runs: all of them.
      wrong: number of wrong answers of a run, by its place.
    """
    ran = [ranking for ranking in found if any(row.run for row in ranking.rows)]
    asked_in_all = sum(run.questions for run in runs)
    body = joined(
        element(
            "header",
            element("h1", title),
            element("p", f"{_count(len(runs), 'run')}, {_count(asked_in_all, 'question')}, beside published figures",
                    class_="system"),
        ),
        element(
            "main",
            element("h2", "Overview"),
            _overview(found, runs),
            *(_ranking(ranking, wrong) for ranking in ran),
        ),
        element("footer", *(element("p", *_linked(note)) for note in (*notes(runs), f"CaMML {__version__}"))),
    )  # fmt: skip
    return document(title, ".", body)


def _linked(text: str) -> Iterator[str]:
    """Return the text with its addresses as links."""
    for part in re.split(r"(https://[\w./-]+\w)", text):
        yield element("a", part, href=part) if part.startswith("https://") else part


def _count(value: int, noun: str) -> str:
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def _overview(found: Sequence[Ranking], runs: Sequence[Run]) -> Markup:
    columns = systems(runs)
    head = element("tr", element("th", "task", scope="col"), *(_column(name) for name in columns))
    lines = []
    for ranking in found:
        best = next((row.system for row in ranking.rows if row.figure and not (row.run and row.run.subset)), None)
        cells = (_cell(ranking.of(system), system == best) for system in columns)
        ran = any(row.run for row in ranking.rows)
        name: str = name_of(ranking.measure)
        if ran:
            name = element("a", name, href=f"#{_anchor(ranking)}")
        lines.append(element("tr", element("th", name, scope="row"), *cells, class_=None if ran else "published"))
    table = element("table", element("thead", head), element("tbody", *lines), class_="overview")
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label="Overview of all tasks")


def _column(name: str) -> Markup:
    return element("th", name, scope="col", class_="published" if name in MODELS else None)


def _cell(row: Row | None, best: bool) -> Markup:
    if row is None:
        return element("td")
    text: str = number(row.figure.value) if row.figure else "–"
    if best:
        text = element("strong", text)
    if row.run is None:
        return element("td", text, class_="published")
    few = element("small", asked(row.run)) if row.run.subset else None
    return element("td", element("a", text, href=_link(row.run)), few)


def _ranking(one: Ranking, wrong: dict[str, int]) -> Markup:
    ends = [end for row in one.rows if row.figure for end in (row.figure.value, row.figure.low, row.figure.high)]
    known = [end for end in ends if end is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    head = ("system", one.measure.name.replace("_", " "), "95 % interval", "", "questions", "wrong")
    rows = (_ranked(row, low, high, wrong) for row in one.rows)
    table = element(
        "table",
        element("thead", element("tr", *(element("th", text, scope="col") for text in head))),
        element("tbody", *rows),
        class_="ranking",
    )
    return element(
        "section",
        element("h2", name_of(one.measure), id=_anchor(one)),
        element("div", table, class_="scroll", tabindex=0, role="region", aria_label=name_of(one.measure)),
    )


def _ranked(row: Row, low: float, high: float, wrong: dict[str, int]) -> Markup:
    score = number(row.figure.value) if row.figure else "not scored"
    interval = spread(row.figure) if row.figure else ""
    drawn = _whiskers(row, low, high)
    if row.run is None:
        cells = (element("th", row.system, scope="row"), element("td", score), element("td", "published"),
                 element("td", drawn), element("td"), element("td"))  # fmt: skip
        return element("tr", *cells, class_="published")
    link = element("a", row.system, href=_link(row.run))
    number_wrong = wrong.get(row.run.place)
    to_wrong = (
        element("a", f"{number_wrong:,}", href=f"{_link(row.run)}#show=wrong")
        if number_wrong
        else "0" if number_wrong == 0 else None
    )  # fmt: skip
    return element(
        "tr", element("th", link, scope="row"), element("td", score), element("td", interval), element("td", drawn),
        element("td", asked(row.run)), element("td", to_wrong),
    )  # fmt: skip


def _whiskers(row: Row, low: float, high: float) -> Markup | None:
    """Draw the score as a dot on the line of its interval, on the scale of its table."""
    if row.figure is None:
        return None
    width, margin = 160, 6

    def place(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(margin + share * (width - 2 * margin), 1)

    line = None
    if row.figure.low is not None and row.figure.high is not None:
        line = element("line", x1=place(row.figure.low), x2=place(row.figure.high), y1=8, y2=8)
    dot = element("circle", cx=place(row.figure.value), cy=8, r=4)
    return element("svg", line, dot, viewBox=f"0 0 {width} 16", width=width, height=16, class_="whiskers",
                   aria_hidden="true")  # fmt: skip


def _link(run: Run) -> str:
    return f"runs/{run.place}/index.html"


def _anchor(one: Ranking) -> str:
    return f"{one.measure.task}-{one.measure.name.replace('/', '-')}"
