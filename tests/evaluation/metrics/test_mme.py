"""MME's rule for yes and no, and its points."""

import numpy as np
import pytest

from camml.evaluation.metrics.mme import measure, subtask_points, yes_or_no
from camml.evaluation.task import Item, Settings


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("Yes", "yes"),
        ("yes, it is", "yes"),
        ("No.", "no"),
        (" NO", "no"),
        ("Know", "no"),  # "no" anywhere in the first four letters
        ("It is not", "other"),
        ("", "other"),
    ],
)
def test_the_first_four_letters_decide(said: str, read: str) -> None:
    assert yes_or_no(said) == read


def _items(pairs: dict[str, dict[str, int]]) -> list[Item]:
    return [
        Item(f"{subtask}/{image}/{q}", f"{subtask}/{image}", f"q{q}", cluster=f"{subtask}/{image}",
             truth={"subtask": subtask, "image": image, "answer": "Yes" if q == 0 else "No"})
        for subtask, images in pairs.items() for image in images for q in range(2)
    ]  # fmt: skip


def test_points_of_a_hand_worked_case() -> None:
    """Existence: 3 of 4 right and 1 of 2 pairs: 75 + 50. Code: all right: 200."""
    items = _items({"existence": {"a": 0, "b": 0}, "code_reasoning": {"c": 0}})
    answers = {item.id: item.truth["answer"] for item in items} | {"existence/b/1": "other"}
    result = measure(items, answers, Settings())
    assert result.values["perception"] == 125
    assert result.values["score/existence"] == 125
    assert result.values["accuracy/existence"] == 75
    assert result.values["pair_accuracy/existence"] == 50
    assert result.values["cognition"] == 200
    assert result.headline_of is not None
    assert result.headline_of(np.ones(6)) == 125
    assert result.headline_of(np.array([2.0, 2, 0, 0, 1, 1])) == 200  # image b not drawn


def test_a_repeated_question_counts_once() -> None:
    items = _items({"color": {"a": 0}})
    again = [*items, Item("again", items[0].question_id, items[0].text, truth=items[0].truth)]
    answers = {item.id: item.truth["answer"] for item in items}
    assert measure(again, answers | {"again": "No"}, Settings()).values["perception"] == 200


def test_no_pairs_score_nothing() -> None:
    assert np.isnan(subtask_points([])).all()
    assert measure([], {}, Settings()).values == {"perception": 0, "cognition": 0}


def test_a_picture_with_one_answer_counts_for_accuracy_alone() -> None:
    items = _items({"existence": {"a": 0, "b": 0}, "count": {"c": 0}})
    for item in items:
        item.truth["questions"] = 2
    answers = {item.id: item.truth["answer"] for item in items} | {"existence/b/1": "Yes"}
    assert measure(items, answers, Settings()).notes == []
    result = measure([*items[:3], items[4]], answers, Settings())
    assert result.values["accuracy/existence"] == result.values["accuracy/count"] == 100
    assert result.values["pair_accuracy/existence"] == 100
    assert result.values["pair_accuracy/count"] == 0
    assert result.values["perception"] == 300
    assert list(result.notes) == [
        "2 of 3 pictures lack the answer to one of their questions; they count for accuracy, not for that of pairs, "
        "which is 0 in count for want of whole pairs"
    ]


def test_a_resample_without_a_subtask_is_no_loss() -> None:
    """All is right, whichever pictures are drawn."""
    items = _items({"existence": {"a": 0}, "count": {"b": 0}})
    result = measure(items, {item.id: item.truth["answer"] for item in items}, Settings())
    assert result.headline_of is not None
    assert result.headline_of(np.array([2.0, 2, 0, 0])) == result.values["perception"] == 400
