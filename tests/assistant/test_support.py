"""Which passage an answer comes from."""

import pytest

from camml.assistant.support import judged, with_support
from camml.types import Context, Neighbor, Sample

PUMP = "Pump 7 is red. It needs the spare part 4711. It was bought in 1999."
VALVE = "Valve 2 is blue. It needs the spare part 0815."


def context(*texts: str, spans: tuple[tuple[int, int], ...] = ()) -> Context:
    return tuple(Neighbor(Sample(f"s{place}", text), 0.5, spans) for place, text in enumerate(texts))


def marked(answer: str, given: Context, question: str = "") -> list[str | None]:
    return [
        None if neighbor.supporting is None else neighbor.sample.text[slice(*neighbor.supporting)]
        for neighbor in with_support(answer, given, question)
    ]


@pytest.mark.parametrize(
    ("answer", "question", "passages"),
    [
        ("4711", "", ["It needs the spare part 4711.", None]),
        ("0815", "", [None, "It needs the spare part 0815."]),
        ("The spare part 0815 is needed.", "Which spare part?", [None, "It needs the spare part 0815."]),
        ("1999", "When was it bought?", ["It was bought in 1999.", None]),
        ("No idea at all", "", [None, None]),
        ("", "", [None, None]),
        ("471", "", [None, None]),
        ("the of and", "", [None, None]),
    ],
)
def test_the_passage_with_the_answers_words_is_marked(answer: str, question: str, passages: list[str | None]) -> None:
    assert marked(answer, context(PUMP, VALVE), question) == passages


def test_of_equals_the_nearer_and_earlier_one_is_marked() -> None:
    assert marked("red", context("A red bus. A red car.", "Red again.")) == ["A red bus.", None]


def test_of_equals_the_one_that_has_more_of_the_question() -> None:
    assert marked("red", context("A red bus. A red car."), "Which colour is the car?") == ["A red car."]


def test_only_what_was_read_is_looked_at() -> None:
    assert marked("4711", context(PUMP, spans=((0, 14),))) == [None]


def test_words_of_the_question_count_where_the_answer_has_no_others() -> None:
    given = context("Pump 7 is red. Pump 9 is blue.")
    assert marked("Pump 9", given, "Is pump 7 or pump 9 blue?") == ["Pump 9 is blue."]


@pytest.mark.parametrize(
    ("answer", "text", "passage"),
    [
        ("none", "Ms. Hart, 44. Allergies: none. Blood type: 0.", "Allergies: none."),
        ("Unknown.", "Gate 4 has no defects. Next date: unknown.", "Next date: unknown."),
        ("N/A", "Warranty: n/a. Price: 12.", "Warranty: n/a."),
        ("not included", "Charger included. Batteries not included.", "Batteries not included."),
        (
            "The batteries aren't included.",
            "Charger included. Batteries are not included.",
            "Batteries are not included.",
        ),
        ("not in", "The crane is not in use.", "The crane is not in use."),
    ],
)
def test_an_answer_that_a_sample_holds_is_no_refusal(answer: str, text: str, passage: str) -> None:
    refused, [neighbor] = judged(answer, context(text), "Which allergies, defects or batteries?")
    assert not refused
    assert neighbor.supporting
    assert neighbor.sample.text[slice(*neighbor.supporting)] == passage


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("none", "Ms. Hart has nonexistent allergies."),
        ("unknown", "The pump is red."),
        ("not in the samples", "They are not in the samples."),
        ("The price is not stated.", "The date is not stated."),
        ("not in", "The pump is red."),  # cut off by the number of new tokens
        ("not in the sam", "The pump is red."),
        ("not", "The pump is red."),
    ],
)
def test_an_answer_that_no_sample_holds_is_a_refusal(answer: str, text: str) -> None:
    assert judged(answer, context(text)) == (True, context(text))


def test_only_what_was_read_can_hold_an_answer() -> None:
    assert judged("none", context("It is red. Defects: none.", spans=((0, 10),)))[0]


def test_without_samples_nothing_is_refused() -> None:
    assert judged("unknown", ()) == (False, ())
