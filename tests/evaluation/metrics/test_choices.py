"""Reading a choice; circular accuracy; A-OKVQA."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml.evaluation.metrics.choices import (
    ROUND,
    aokvqa_accuracy,
    aokvqa_choice,
    chosen_letter,
    circular_accuracy,
    seed_accuracy,
)
from camml.evaluation.task import Item, Settings

OPTIONS = {"A": "a cat", "B": "a dog", "C": "two birds"}


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B. a dog", "B"),
        ("The answer is C.", "C"),
        ("A", "A"),
        ("A.", "A"),
        ("A dog", "A"),  # few words: a letter all the same, as in the official rule
        ("There is A dog in it", "B"),  # an article: the text decides
        ("it shows two birds", "C"),
        ("A or B", None),
        ("a cat and a dog", None),
        ("D", None),
        ("", None),
    ],
)
def test_a_letter_then_a_text(said: str, letter: str | None) -> None:
    assert chosen_letter(said, OPTIONS) == letter


@given(st.text(max_size=40))
def test_a_choice_is_one_of_the_options_or_none(said: str) -> None:
    assert chosen_letter(said, OPTIONS) in {None, *OPTIONS}


def _rotated(index: int, turn: int) -> Item:
    texts = ["cat", "dog"][turn:] + ["cat", "dog"][:turn]
    truth = {"answer": "AB"[turn], "options": dict(zip("AB", texts, strict=True)), "category": f"c{index}", "l2": "l"}
    key = index + turn * ROUND
    return Item(str(key), key, "?", truth=truth)


def test_a_question_counts_only_if_every_rotation_is_right() -> None:
    items = [_rotated(1, 0), _rotated(1, 1), _rotated(2, 0), _rotated(2, 1)]
    always_a = {item.id: "A" for item in items}
    result = circular_accuracy(items, always_a | {"1000001": "B"}, Settings())
    assert result.values["accuracy"] == 50
    assert result.values["vanilla"] == 100
    assert dict(result.per_item) == {"1": 1.0, "2": 0.0}
    assert result.values["category/c1"] == 100
    assert result.values["category/c2"] == 0
    assert result.values["l2/l"] == 50


def test_seed_wants_the_letter_and_nothing_else() -> None:
    truth = {"answer": "A", "kind": "image", "dimension": "Scene"}
    items = [Item(str(n), n, "?", truth=truth) for n in range(2)]
    result = seed_accuracy(items, {"0": "A", "1": "A."}, Settings())
    assert result.values == {"accuracy": 50, "dimension/Scene": 50, "kind/image": 50, "unread": 1}


@pytest.mark.parametrize(
    ("said", "place"), [("Bus", 1), ("bus.", 1), ("B", 1), ("C. cup", 2), ("(A)", 0), ("a", None), ("plane", None)]
)
def test_aokvqa_reads_texts_and_letters(said: str, place: int | None) -> None:
    assert aokvqa_choice(said, ["tree", "bus", "cup"]) == place


def test_direct_answers_count_where_they_are_not_difficult() -> None:
    truth = {"choices": ["tree", "bus"], "correct": 1, "direct": ["bus", "bus", "car"], "difficult": False}
    hard = truth | {"difficult": True}
    items = [Item("a", "a", "?", truth=truth), Item("b", "b", "?", truth=hard), Item("c", "c", "?", truth=truth)]
    result = aokvqa_accuracy(items, {"a": "bus", "b": "bus", "c": "B"}, Settings())
    assert result.values["multiple_choice"] == 100
    assert result.values["direct_answer"] == pytest.approx(100 * (2 / 3 + 0) / 2)


def test_a_question_without_all_of_its_rotations_is_left_out_and_said() -> None:
    items = [_rotated(1, 0), _rotated(1, 1), _rotated(2, 0), _rotated(2, 1)]
    for item in items:
        item.truth["rotations"] = 2
    assert circular_accuracy(items, {item.id: item.truth["answer"] for item in items}, Settings()).notes == []
    result = circular_accuracy(items[:3], {item.id: "A" for item in items}, Settings())
    assert result.values["accuracy"] == 0
    assert result.values["vanilla"] == 100
    assert "category/c2" not in result.values
    assert dict(result.per_item) == {"1": 0.0}
    assert list(result.notes) == [
        "1 of 2 questions lack answers to some of their rotations; accuracy is of the other 1, vanilla of 2"
    ]
    alone = circular_accuracy(items[:1], {"1": "A"}, Settings())
    assert alone.values == {"vanilla": 100}
