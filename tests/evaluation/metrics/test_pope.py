"""POPE's yes/no rule and rates."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml.evaluation.files import read_json
from camml.evaluation.metrics.pope import measure, rates, says_yes
from camml.evaluation.score import score
from camml.evaluation.task import Item, Settings


@pytest.mark.parametrize(
    ("said", "yes"),
    [
        ("Yes", True),
        ("No", False),
        ("no", False),
        ("No, there is not.", False),
        ("Yes. No.", True),  # only the first sentence counts
        ("There is not a dog", False),
        ("NO", True),  # the rule knows three words, as they are written
        ("Nothing", True),
        ("No\n", True),  # words end at spaces alone
        ("nope", True),
        ("Well,no", True),  # the comma goes, and the words grow together
        ("", True),
    ],
)
def test_says_yes_follows_the_official_rule(said: str, yes: bool) -> None:
    assert says_yes(said) is yes


def test_rates_of_a_hand_worked_table() -> None:
    said, true = np.array([1, 1, 1, 0, 0], bool), np.array([1, 1, 0, 1, 0], bool)
    result = rates(said, true, np.ones(5))
    assert result == pytest.approx(
        {"accuracy": 3 / 5, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "yes_ratio": 3 / 5}
    )


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30))
def test_a_weight_is_a_repetition(rows: list[tuple[bool, bool, int]]) -> None:
    said, true, times = (np.array(column) for column in zip(*rows, strict=True))
    weighted = rates(said.astype(bool), true.astype(bool), times.astype(float))
    repeated = rates(*(np.repeat(column.astype(bool), times) for column in (said, true)), np.ones(times.sum()))
    assert weighted == pytest.approx(repeated)


def test_headline_is_the_mean_over_splits() -> None:
    items = [Item(str(n), n, "?", truth={"split": "ab"[n % 2], "present": n < 2}, cluster=str(n)) for n in range(4)]
    result = measure(items, {"0": "Yes", "1": "No", "2": "No", "3": "No"}, Settings())
    assert result.values["f1/a"] == 1
    assert result.values["f1/b"] == 0
    assert result.values["f1/mean"] == 0.5
    assert result.headline_of is not None
    assert result.headline_of(np.ones(4)) == 0.5
    assert dict(result.per_item) == {"0": 1.0, "1": 0.0, "2": 1.0, "3": 1.0}


@pytest.mark.long
def test_real_answers_score_as_officially(golden_eval: Path) -> None:
    expected = read_json(golden_eval / "expected.json")["pope"]
    result = score("pope", golden_eval, golden_eval / "pope" / "answers.jsonl", resamples=100)
    for kind in ("f1", "accuracy"):
        for split, value in expected[kind].items():
            assert result.values[f"{kind}/{split}"] == pytest.approx(value, abs=1e-4)
    assert result.interval is not None
    assert result.interval.low < result.values["f1/mean"] < result.interval.high


def test_a_resample_without_a_split_is_no_loss() -> None:
    items = [Item(str(n), n, "?", truth={"split": "ab"[n // 2], "present": n % 2 == 0}) for n in range(4)]
    result = measure(items, {item.id: ("Yes", "No")[int(item.id) % 2] for item in items}, Settings())
    assert result.headline_of is not None
    assert result.headline_of(np.array([1.0, 1, 0, 0])) == 1  # one split was not drawn
    assert result.headline_of(np.array([1.0, 0, 0, 2])) == 1  # of the other split no "yes" was drawn
    assert np.isnan(result.headline_of(np.array([0.0, 2, 0, 2])))
