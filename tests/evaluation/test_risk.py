"""Risk and coverage by the score of the nearest sample."""

import random

import pytest

from camml.evaluation.risk import risk_coverage


def record(near: float | None, score: float | None) -> dict:
    return {"retrieved": [{"id": "a", "score": near}], "score": score}


def test_the_risk_falls_where_near_samples_make_right_answers() -> None:
    records = [record(place / 100, float(place >= 40)) for place in range(100)]
    random.Random(0).shuffle(records)
    result = risk_coverage(records)
    assert result["risk@100"] == pytest.approx(0.4)
    assert result["risk@75"] == pytest.approx(15 / 75)
    assert result["risk@50"] == result["risk@25"] == 0
    assert result["aurc"] == pytest.approx(sum((n - 60) / n for n in range(61, 101)) / 100)


def test_scores_that_say_nothing_leave_the_risk_as_it_is() -> None:
    result = risk_coverage([record(0.5, score) for score in (1, 0, 0, 1)])
    assert set(result.values()) == {0.5}


@pytest.mark.parametrize(
    "records",
    [[], [record(None, 1)], [record(0.5, None)], [record(0.5, 1.7)], [record(0.5, 1), {"retrieved": [], "score": 1}]],
)
def test_what_is_not_known_is_left_out(records: list[dict]) -> None:
    assert risk_coverage(records) == {}


def test_near_samples_come_first_whatever_their_answers_are_worth() -> None:
    result = risk_coverage([record(0.2, 1.0), record(0.9, 0.0)])
    assert result["risk@50"] == 1
    assert result["risk@100"] == 0.5
