"""Records that a number or a code alone tells apart."""

import tomllib
from typing import Any

from benchmarks import numbered_records
from camml.words import identifiers


def notes_of(count: int) -> list[dict[str, Any]]:
    notes: list[dict[str, Any]] = tomllib.loads(numbered_records.notes(count))["note"]
    return notes


def test_the_same_count_gives_the_same_file() -> None:
    assert numbered_records.notes(24) == numbered_records.notes(24)


def test_a_question_names_the_record_that_answers_it_and_no_other() -> None:
    notes = notes_of(200)
    asked = [(note, question) for note in notes for question in note["questions"]]
    assert (len(notes), sum(bool(question["right"]) for _, question in asked)) == (200, numbered_records.ASKED)
    for note, question in asked:
        if question["right"]:
            assert any(way in note["text"] for way in question["right"])
            assert identifiers(question["ask"]) <= identifiers(note["text"])


def test_some_questions_are_about_numbers_that_no_record_has() -> None:
    questions = [question for note in notes_of(40) for question in note["questions"]]
    answered = {question["ask"] for question in questions if question["right"]}  # one wording for each kind of record
    unknown = {question["ask"] for question in questions if not question["right"]}
    assert (len(answered), len(unknown)) == (40, numbered_records.UNKNOWN)
    assert not answered & unknown
