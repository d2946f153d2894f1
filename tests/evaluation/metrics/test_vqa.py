"""Answer normalisation and accuracy of the VQA family, against hand-worked cases of the official rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml.evaluation.metrics.vqa import (
    _CONTRACTIONS,
    accuracy_by,
    agreement,
    evalai_answer,
    m4c_accuracy,
    plain_words,
    strip_punctuation,
    submitted_accuracy,
    vqa_accuracy,
    vqa_answer,
)
from camml.evaluation.task import Item, Settings

words = st.text(st.characters(codec="utf-8"), max_size=30)


@pytest.mark.parametrize(
    ("said", "compared"),
    [
        ("The two Cats", "2 cats"),
        ("none", "0"),
        ("An apple and a pear", "apple and pear"),
        ("eleven", "eleven"),
        ("dont", "don't"),
        ("hed've", "he'd've"),
        ("yall'd've", "y'all'd've"),
        ("somebody'd", "somebodyd"),  # the official table has this entry the wrong way round
        ("shed", "shed"),  # a word of its own, so not in the table
        ("red/blue", "red blue"),
        ("red/ blue", "red blue"),
        ("black-white", "black white"),
        ("well-known -", "wellknown"),  # one hyphen beside a space drops them all
        ("1,000", "1000"),
        ("1,000 a-b", "1000 ab"),  # a number with a comma drops all punctuation
        ("3.50", "3.50"),
        ("$3.50.", "$3.50"),
        ("u.s.", "us"),
        (".5 miles", ".5 miles"),
        ("yes!", "yes"),
        ("a\tb\nc", "b c"),
        ("what's", "what's"),
        ("", ""),
        ("the", ""),
    ],
)
def test_vqa_answers_compare_as_officially(said: str, compared: str) -> None:
    assert vqa_answer(said) == compared


def test_periods_beyond_the_thirty_second_stay() -> None:
    """The official evaluator hands a flag, 32, to the parameter that limits replacements."""
    assert strip_punctuation("." * 40) == "." * 8


@pytest.mark.parametrize(
    ("said", "compared"),
    [
        ("Cat's", "cat 's"),
        ("1,000", "1000"),
        ("a,b", "ab"),
        ("What? Yes", "what yes"),
        ("THE STOP sign.", "stop sign"),
        ("that's", "that 's"),
    ],
)
def test_m4c_answers_compare_as_officially(said: str, compared: str) -> None:
    assert evalai_answer(said) == compared


def test_contractions_hold_every_way_to_lose_one_apostrophe() -> None:
    assert len(_CONTRACTIONS) == 114  # of the official 120: the others are upper case or map to themselves
    assert {key for key, form in _CONTRACTIONS.items() if form == "y'all'd've"} == {
        "yall'd've",
        "y'alld've",
        "y'all'dve",
    }


@pytest.mark.parametrize(("matching", "accuracy"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_agreement_leaves_each_annotator_out(matching: int, accuracy: float) -> None:
    assert agreement("red", ["red"] * matching + ["blue"] * (10 - matching)) == pytest.approx(accuracy)


def test_unanimous_answers_are_compared_without_normalising() -> None:
    assert vqa_accuracy("Yes", ["yes"] * 10) == 0.0
    assert vqa_accuracy(" yes\n", ["yes"] * 10) == 1.0
    assert vqa_accuracy("Yes", ["yes"] * 9 + ["no"]) == 1.0
    assert submitted_accuracy("Yes.", ["yes"] * 10) == 1.0  # submissions are normalised before they are sent
    assert m4c_accuracy("Yes", ["yes"] * 10) == 1.0


@given(st.lists(words, min_size=1, max_size=10), words)
def test_accuracy_is_a_share_and_symmetric_in_annotators(answers: list[str], said: str) -> None:
    accuracy = vqa_accuracy(said, answers)
    assert 0 <= accuracy <= 1
    assert vqa_accuracy(said, answers[::-1]) == pytest.approx(accuracy)


@given(words)
def test_normalised_answers_have_single_spaces_and_no_articles(text: str) -> None:
    kept = vqa_answer(text).split(" ")
    assert "" not in kept or kept == [""]
    assert not {"a", "an", "the"} & set(kept)


@given(st.text("abc'the two ", max_size=20))
def test_words_are_plain_after_one_pass(text: str) -> None:
    once = plain_words(text)
    assert plain_words(once) == once or "somebody" in text


def test_questions_with_few_answers_are_said() -> None:
    """The rule leaves each annotator out, so that a single one is never agreed with."""
    items = [Item(str(n), n, "?", truth={"answers": ["red"] * number}) for n, number in enumerate((1, 1, 3, 5, 10))]
    result = accuracy_by(vqa_accuracy)(items, {item.id: "red" for item in items}, Settings())
    assert list(result.per_item.values()) == [0, 0, pytest.approx(2 / 3), 1, 1]
    [note] = result.notes
    assert note == (
        "the official rule is for ten answers to a question; here 2 have 1 (a right answer scores 0.00 at most), "
        "1 has 3 (0.67), 1 has 5 (1.00)"
    )
    assert accuracy_by(vqa_accuracy)(items[4:], {"4": "red"}, Settings()).notes == []
