"""Which passage an answer comes from."""

import pytest

from camml.assistant.support import with_support
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
