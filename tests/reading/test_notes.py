"""What holds for notes in plain prose: answers are words of the text, refusals are right, and slots are all filled."""

import re
from pathlib import Path
from random import Random

import pytest

from camml.errors import OptionError
from camml.reading import generator, notes
from camml.reading.generator import TextLimit
from camml.refusals import REFUSAL
from tests.reading.test_generator import Data

ROWS = 120


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("notes")
    return Data(folder, generator.build(folder, rows=ROWS, seed=5, notes_share=1.0))


def test_every_question_is_about_a_slot_of_its_sentence() -> None:
    for sentences in notes.patterns():
        slots = [slot for sentence in sentences for slot in re.findall(r"\{(\w+):", sentence.pattern)]
        assert len(slots) == len(set(slots)), sentences[0].pattern
        for sentence in sentences:
            for question, slot in sentence.questions:
                assert f"{{{slot}:" in sentence.pattern, question
                assert question.endswith(("?", "."))


def test_no_slot_stays_empty_and_answers_are_words_of_the_text() -> None:
    rng = Random(2)
    for _ in range(20):
        for note in notes.invent(rng, 3):
            assert not re.search(r"[{}|~]|\.\.", note.record.text)
            assert all(question.answer in note.record.text for question in note.answered)
            assert all(question.answer == REFUSAL for question in note.untold)


def test_no_two_slots_of_a_note_are_filled_alike() -> None:
    sentences = [notes._sentence("{a:first} and {b:first} met on {c:day}, not on {d:day}.", "Who came first? > a")]
    for seed in range(30):
        values = [fact.answer for fact in notes._filled(sentences, Random(seed)).record.facts.values()]
        assert len(set(values)) == 4


@pytest.mark.parametrize(
    ("make", "value"),
    [
        ("code @@-###", r"[A-Z]{2}-\d{3}"),
        ("date 1990..1999", r".*199\d.*"),
        ("3..9 kg", r"[3-9] kg"),
        ("0.25..2.50 kg", r"[0-2]\.\d\d kg"),
        ("~21..29 days", r"twenty-\w+ days"),
        ("6:30|in the mill", r"6:30|in the mill"),
        ("clock", r"\d\d?:\d\d"),
    ],
)
def test_a_slot_is_filled_as_it_says(make: str, value: str) -> None:
    for seed in range(30):
        assert re.fullmatch(value, notes._value(make, Random(seed)))


def test_notes_of_one_draw_are_about_different_matters() -> None:
    rng = Random(3)
    for _ in range(20):
        first, second, third = notes.invent(rng, 3)
        asked = [{question.text for question in (*note.answered, *note.untold)} for note in (first, second, third)]
        assert not asked[0] & asked[1] & asked[2]


def test_a_note_is_asked_about_no_slot_twice_and_always_something() -> None:
    rng = Random(4)
    for _ in range(200):
        (note,) = notes.invent(rng, 1)
        asked = note.ask(4, rng)
        answered = [question.field for question in asked if question.answer != REFUSAL]
        assert 1 <= len(asked) <= 4
        assert len(answered) == len(set(answered))


def test_most_notes_are_told_whole_or_but_for_one_sentence() -> None:
    sentences = [notes._sentence(f"Matter {number} is told.") for number in range(5)]
    rng = Random(6)
    told = [len(notes._told(sentences, rng)) for _ in range(400)]
    assert told.count(5) > 0.3 * len(told)
    assert told.count(4) > 0.4 * len(told)
    assert min(told) < 3


def test_a_joined_note_is_asked_only_what_it_tells_without_pointing() -> None:
    rng = Random(7)
    behind = 0
    for _ in range(60):
        first, other = notes.invent(rng, 2)
        joined = first.joined(other, rng)
        assert first.record.text in joined.record.text
        assert other.record.text in joined.record.text
        behind += joined.record.text.endswith(first.record.text)
        assert {question.text for question in joined.answered} <= {question.text for question in first.answered}
        for question in (*joined.answered, *joined.untold):
            assert not re.search(r"\b(it|its|they|this|he|her)\b", question.text, re.IGNORECASE)
    assert 15 < behind < 45


def test_the_end_of_a_note_is_asked_about_more_often_than_its_beginning() -> None:
    pattern = " ".join(f"Number {place} is {{s{place}:3..900}}." for place in range(9))
    questions = [f"Which is number {place}? > s{place}" for place in range(9)]
    note, rng = notes._filled([notes._sentence(pattern, *questions)], Random(12)), Random(0)
    asked = [question.field for _ in range(100) for question in note.ask(4, rng)]
    assert sum(field in ("s5", "s6", "s7", "s8") for field in asked) > 0.5 * len(asked)
    assert {"s0", "s8"} <= set(asked)


def test_rows_answer_from_a_neighbor_or_refuse(data: Data) -> None:
    refused = 0
    for row, form, _, text, answer in data.asked():
        if form == "open":
            assert any(answer in told for told in data.texts(row)), text
        else:
            assert (form, answer) == ("untold", REFUSAL)
            refused += 1
    assert 0.05 < refused / len(data.asked()) < notes.REFUSED


def test_first_questions_are_refused_no_more_often_than_others(data: Data) -> None:
    firsts = [row["conversations"][1]["value"] == REFUSAL for row in data.rows]
    others = [turn["value"] == REFUSAL for row in data.rows for turn in row["conversations"][3::2]]
    assert abs(sum(firsts) / len(firsts) - sum(others) / len(others)) < 0.1


def test_a_question_that_says_it_is_about_the_nearest_note(data: Data) -> None:
    answers = [
        (data.texts(row)[0], answer)
        for row, form, _, text, answer in data.asked()
        if form == "open" and re.search(r"\bits?\b", text, re.IGNORECASE)
    ]
    assert answers
    assert all(answer in nearest for nearest, answer in answers)


@pytest.mark.parametrize(
    ("number", "words"), [(1, "one"), (12, "twelve"), (19, "nineteen"), (20, "twenty"), (57, "fifty-seven")]
)
def test_numbers_are_written_in_words(number: int, words: str) -> None:
    assert notes._in_words(number) == words


def test_what_is_asked_stands_within_the_limit(tmp_path: Path) -> None:
    built = Data(tmp_path, generator.build(tmp_path, rows=40, seed=1, limit=TextLimit(400), notes_share=1.0))
    for row, form, _, text, answer in built.asked():
        if form == "open":
            assert answer in "\n".join(built.texts(row))[:400], text


def test_answers_stand_everywhere_in_what_is_read(tmp_path: Path) -> None:
    limit = TextLimit(120, lambda text: len(text.split()))
    built = Data(tmp_path, generator.build(tmp_path, rows=150, seed=8, limit=limit, notes_share=1.0))
    places = []
    for row, form, _, _, answer in built.asked():
        read = "\n".join(built.texts(row))
        if form == "open":
            places.append(len(read[: read.find(answer)].split()))
    for quarter in range(4):
        share = sum(quarter * 30 <= place < quarter * 30 + 30 for place in places) / len(places)
        assert 0.1 < share < 0.45, f"quarter {quarter}"


def test_only_the_share_that_is_asked_for_is_about_notes(tmp_path: Path) -> None:
    built = Data(tmp_path, generator.build(tmp_path, rows=20, seed=1, notes_share=0.25))
    layouts = [built.samples[f"{row['id']}-0"]["meta"]["layout"] for row in built.rows]
    assert [layout == "note" for layout in layouts] == [True] * 5 + [False] * 15


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_from_0_to_1(share: float, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--notes is"):
        generator.build(tmp_path / "out", rows=5, notes_share=share)


def test_a_limit_in_which_no_note_fits_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no note fits"):
        generator.build(tmp_path / "out", rows=5, limit=TextLimit(41), notes_share=1.0)
