"""The order of the first samples by the numbers and codes of a question."""

import numpy as np
import pytest

from camml.matching import IDENTIFIER_BONUS, by_passages, with_named
from camml.types import Neighbor, Sample

NONE = np.zeros(2, np.float32)


def neighbor(name: str, score: float, text: str = "") -> Neighbor:
    return Neighbor(Sample(name, text), score)


def test_samples_that_hold_them_come_behind_those_of_the_places() -> None:
    context = tuple(neighbor(name, 0.5) for name in "abcd")
    named = (neighbor("b", 0.5), neighbor("d", 0.5), neighbor("e", 0.4))
    longer, places = with_named(context, [0, 1], named)
    assert [each.sample.id for each in longer] == ["a", "b", "d", "e", "c"]  # each once
    assert places == [0, 1, 2, 3]


def test_no_sample_is_there_twice() -> None:
    context = tuple(neighbor(name, 0.5) for name in "abcd")
    longer, places = with_named(context, [0, 2], (neighbor("b", 0.5), neighbor("e", 0.4)))  # a picture found b
    assert [each.sample.id for each in longer] == ["a", "b", "c", "e", "d"]
    assert places == [0, 2, 3]


def test_nothing_changes_where_all_of_them_are_there() -> None:
    context = tuple(neighbor(name, 0.5) for name in "abc")
    assert with_named(context, [0, 2], (neighbor("c", 0.5),)) == (context, [0, 2])


def test_a_text_that_holds_them_is_preferred_to_a_nearer_one_and_its_cosine_stays() -> None:
    context = (neighbor("near", 0.6, "Pump 7"), neighbor("right", 0.5, "Pump 9"), neighbor("far", 0.1, "Well 9"))
    ordered = by_passages(context, [0, 1, 2], 0.5, NONE, {}, {"9": 1.0})
    assert [each.sample.id for each in ordered] == ["right", "near", "far"]
    assert ordered[0].score == 0.5
    assert ordered[0].likeness == pytest.approx(0.5 + IDENTIFIER_BONUS)
    assert by_passages(context, [0, 1, 2], 0.5, NONE, {}, {})[0].sample.id == "near"
