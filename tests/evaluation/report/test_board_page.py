"""The page of the leaderboard."""

import re
from pathlib import Path

from camml.evaluation.report.board_page import board_page
from camml.evaluation.report.leaderboard import rankings
from camml.evaluation.report.runs import find_runs
from tests.evaluation.report.conftest import record, write_run


def test_it_shows_scores_with_intervals_and_links_to_wrong_answers(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [record(0)] * 3, score=65.0)
    write_run(tmp_path / "b", [record(0)], score=None, task="vqav2", limit=1)
    runs, _ = find_runs([tmp_path])
    page = board_page("A <title>", rankings(runs), runs, {runs[0].place: 2}).decode()
    assert "<h1>A &lt;title&gt;</h1>" in page
    assert "2 runs, 4 questions" in page
    assert "<td>60.0 to 69.0</td>" in page
    assert f'<a href="runs/{runs[0].place}/index.html#show=wrong">2</a>' in page
    assert "not scored" in page
    assert "<small>first 1</small>" in page
    for target in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{target}"' in page


def test_the_line_of_an_interval_is_inside_its_picture(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [record(0)], score=65.0)
    runs, _ = find_runs([tmp_path])
    page = board_page("t", rankings(runs), runs, {}).decode()
    [(start, end)] = re.findall(r'<line x1="([\d.]+)" x2="([\d.]+)"', page)
    dots = [float(place) for place in re.findall(r'<circle cx="([\d.]+)"', page)]
    assert len(dots) == 3  # two published, one run
    assert (float(start), float(end)) == (6, 154)  # this interval holds all the others
    assert all(6 <= dot <= 154 for dot in dots)


def test_a_score_on_some_of_the_questions_is_never_the_best(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [record(0)], score=99.0, limit=1)
    runs, _ = find_runs([tmp_path])
    page = board_page("t", rankings(runs), runs, {}).decode()
    assert "<strong>66.3</strong>" in page
    assert "<strong>99.0</strong>" not in page
