"""The notes written by hand, and how answers about them are judged."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from benchmarks import plain_notes
from benchmarks.plain_notes import Result
from camml.reading import notes as training_notes


def result(answer: str, *right: str) -> Result:
    return Result("test", "?", list(right), answer, True)


STRANGERS = [plain_notes.NOTES.with_name(f"strangers_notes{part}.toml") for part in ("", "_2", "_3", "_4", "_5")]


def notes_of(file: Path) -> list[dict[str, Any]]:
    notes: list[dict[str, Any]] = tomllib.loads(file.read_text("utf-8"))["note"]
    return notes


@pytest.mark.parametrize(
    ("file", "count", "answered"),
    [
        (plain_notes.NOTES, 30, 3),
        *((file, 40, 4) for file in STRANGERS),
    ],
)
def test_every_note_has_questions_that_it_answers_and_one_that_it_does_not(
    file: Path, count: int, answered: int
) -> None:
    notes = notes_of(file)
    assert len(notes) == count
    for note in notes:
        assert sorted(bool(question["right"]) for question in note["questions"]) == [False, *[True] * answered]
        assert note["split"] in plain_notes.SPLITS
        text = " ".join(note["text"].lower().split())
        for question in filter(lambda question: question["right"], note["questions"]):
            assert any(way.lower() in text for way in question["right"]), question["ask"]


@pytest.mark.parametrize("file", [plain_notes.NOTES, *STRANGERS])
def test_no_question_is_one_of_the_training_notes(file: Path) -> None:
    asked = {question["ask"] for note in notes_of(file) for question in note["questions"]}
    learned = {text for note in training_notes.patterns() for sentence in note for text, _ in sentence.questions}
    assert not asked & learned


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("six", ("six", "6 euros")),
        ("6", ("six", "6 euros")),
        ("The planetarium.", ("the planetarium",)),
        ("They go to the planetarium on Thursday", ("the planetarium",)),
        ("4,200 people", ("4,200",)),
        ("not in the samples", ()),
    ],
)
def test_answers_that_are_right(answer: str, right: tuple[str, ...]) -> None:
    assert result(answer, *right).is_right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("sixteen", ("six", "6 euros")),
        ("not in the samples", ("six",)),
        ("the lake", ()),
        ("", ("six",)),
        ("word " * 30 + "six", ("six",)),
        ("nothing\nsix", ("six",)),
    ],
)
def test_answers_that_are_wrong(answer: str, right: tuple[str, ...]) -> None:
    assert not result(answer, *right).is_right


def test_a_summary_counts_both_kinds_of_questions() -> None:
    results = [result("six", "six"), result("not in the samples", "six"), result("not in the samples"), result("five")]
    assert plain_notes.summarise(results) == {
        "answerable": 2,
        "right": 1,
        "refused_wrongly": 1,
        "right_note_read": 2,
        "unanswerable": 2,
        "refused_rightly": 1,
        "right_of_each_quarter": [[1, 2], [0, 0], [0, 0], [0, 0]],
    }


@pytest.mark.parametrize(
    ("right", "place"), [(["Two eggs"], 0.0), (["a pan", "pan"], 0.5), (["pan", "two eggs"], 0.0), (["sugar"], 0.0)]
)
def test_the_depth_of_an_answer_is_where_its_longest_way_stands(right: list[str], place: float) -> None:
    assert plain_notes.depth("two eggs.. a pan....", right) == pytest.approx(place, abs=0.11)
