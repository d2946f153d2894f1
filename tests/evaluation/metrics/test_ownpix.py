"""Answers that refuse, and what is counted."""

import pytest

from camml.evaluation.metrics.ownpix import measure, right
from camml.evaluation.task import Item, Settings
from camml.refusals import refuses


@pytest.mark.parametrize(
    "answer",
    [
        *("not in the samples", "Not in the samples.", "This is not in the samples", "That is not stated."),
        *("The text does not say.", "The samples don't mention it.", "It isn't given", "unknown", "N/A", "None"),
        *("I do not know.", "There is no information about that.", "It cannot be determined.", "I can't tell"),
        *("The weight is not provided in the context.", "not specified", "The guarantee was not recorded."),
    ],
)
def test_a_refusal_is_known_in_many_words(answer: str) -> None:
    assert refuses(answer)


@pytest.mark.parametrize(
    "answer",
    [
        *("", "12 kg", "Not Hill", "Unknown Soldier Street", "in the samples", "No. 12", "It is not Lima", "nothing"),
        *("None Such Works", "It was not built by them but by Knott", "12 May\nnot in the samples"),
    ],
)
def test_an_answer_is_no_refusal(answer: str) -> None:
    assert not refuses(answer)


TRUTH = {"kind": "open", "answer": "12.5 kg", "accept": ["12.5", "12.5 kilograms", "12.5kg"]}


@pytest.mark.parametrize(
    "answer",
    ["12.5 kg", "12.5", "It weighs 12.5 kg.", "Weight: 12.5 kilograms", "12.5kg\nLocker: A-1", "The weight is 12.5."],
)
def test_an_answer_may_be_a_sentence(answer: str) -> None:
    assert right(answer, TRUTH)


@pytest.mark.parametrize(
    "answer",
    [
        *("12 kg", "112.5 kg", "12.5 kg, locker A-1", "Weight: 12.5 kg Locker: A", "It weighs 12.5 kg or 14 kg."),
        *("It does not weigh 12.5 kg", "Weight 12.5 kg and price", "On 12.5 he came", "Its 3 parts weigh 12.5 kg"),
        *("", " ".join(["word"] * 13) + " 12.5 kg", "Weight | 12.5 kg", "Locker A-1, 12.5 kg"),
    ],
)
def test_more_than_the_answer_is_wrong(answer: str) -> None:
    assert not right(answer, TRUTH)


def test_a_name_may_be_followed_by_what_is_no_other_value() -> None:
    truth = {"kind": "open", "answer": "Dros & Daughters"}
    assert right("It is a product of the Dros & Daughters company, which", truth)
    assert right("Dros & Daughters, who built it", truth)
    assert not right("Dros & Daughters, Ferr Guild", truth)
    assert not right("Ferr Guild, Dros & Daughters", truth)
    assert not right("Dros & Daughtersson", truth)


def test_signs_in_an_answer_are_no_list() -> None:
    assert right("It is entry 04/499F.", {"kind": "open", "answer": "04/499F"})
    assert right("It came on May 3, 2019", {"kind": "open", "answer": "3 May 2019", "accept": ["May 3, 2019"]})


def item(name: str, kind: str, answer: str, **more: str) -> Item:
    truth = {"topic": "goods", "field": "weight", "kind": kind, "answer": answer, "length": "long", "style": "rotated"}
    return Item(name, name, "?", truth=truth | more, cluster=name)


def test_refusals_are_counted_apart() -> None:
    items = [
        item("a", "open", "12 kg"),
        item("b", "open", "8 kg", length="short", style="cropped"),
        item("c", "unanswerable", "not in the samples"),
        item("d", "unanswerable", "not in the samples"),
    ]
    answers = {"a": "It weighs 12 kg.", "b": "The text does not say.", "c": "That is not mentioned.", "d": "5 kg"}
    measured = measure(items, answers, Settings())
    assert measured.per_item == {"a": 1, "b": 0, "c": 1, "d": 0}
    values = measured.values
    assert values["accuracy"] == values["refused/rightly"] == values["refused/wrongly"] == 50
    assert values["kind/open"] == values["kind/unanswerable"] == 50
    assert values["length/short"] == values["change/cropped"] == 0
    assert values["change/rotated"] == pytest.approx(200 / 3, abs=0.1)


def test_without_unanswerable_questions_nothing_is_said_of_them() -> None:
    values = measure([item("a", "open", "x")], {"a": "x"}, Settings()).values
    assert "refused/rightly" not in values
    assert values["refused/wrongly"] == 0
