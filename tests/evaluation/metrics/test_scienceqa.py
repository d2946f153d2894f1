"""Reading ScienceQA answers as the official scripts do."""

import random
from pathlib import Path

import numpy as np
import pytest

from camml.evaluation.files import read_json
from camml.evaluation.metrics.scienceqa import accuracy_with, reasoned_answer, short_answer
from camml.evaluation.score import score
from camml.evaluation.task import Item, Settings
from tests.layouts import answer, lines


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        ("B", "B"),
        ("B. a magnet", "B"),
        ("B.", None),
        ("B.magnet", None),
        ("F", None),
        ("So. The answer is C.", "C"),
        ("The answer is C", None),  # the pattern wants a character after the letter
        ("The answer is A. The answer is A.", None),  # and exactly one place
        ("the answer is A.", None),
        ("", None),
    ],
)
def test_short_answers(said: str, letter: str | None) -> None:
    assert short_answer(said) == letter


@pytest.mark.parametrize(("said", "letter"), [("x ANSWER: D.", "D"), ("ANSWER: D", None), ("The answer is D.", None)])
def test_reasoned_answers(said: str, letter: str | None) -> None:
    assert reasoned_answer(said) == letter


def _items(letters: str, choices: int = 3) -> list[Item]:
    return [
        Item(str(n), str(n), "?", truth={"letter": letter, "choices": choices, "image": n % 2 == 0})
        for n, letter in enumerate(letters)
    ]


def test_an_unread_answer_and_one_beyond_the_choices_are_wrong() -> None:
    result = accuracy_with(short_answer)(_items("ABA"), {"0": "A", "1": "dunno", "2": "D"}, Settings())
    assert result.values == {
        "accuracy": pytest.approx(100 / 3), "image_accuracy": 50, "text_accuracy": 0, "unread": 2
    }  # fmt: skip


def test_random_guesses_are_the_official_draws() -> None:
    """After `random.seed(7)` the official script draws twice for each answer it cannot read, and scores the first."""
    items = _items("AABBCCABC")
    official = random.Random(7)
    first_draws = []
    for _ in items:
        first_draws.append(official.choice(range(3)))
        official.choice(range(3))
    wanted = sum(item.truth["letter"] == "ABC"[draw] for item, draw in zip(items, first_draws, strict=True))
    result = accuracy_with(reasoned_answer)(items, {item.id: "" for item in items}, Settings(random_guess=7))
    assert result.values["accuracy"] == pytest.approx(100 * wanted / len(items))
    assert 0 < wanted < len(items)


@pytest.mark.long
def test_real_answers_score_as_officially(golden_eval: Path) -> None:
    folder = golden_eval
    expected = read_json(folder / "expected.json")["scienceqa"]
    answers = folder / "scienceqa" / "answers.jsonl"
    result = score("scienceqa", folder, answers, resamples=0)
    assert result.answered == expected["n"] == 4241
    assert (expected["accuracy"], expected["image_accuracy"]) == (74.3928, 71.6411)
    assert result.values["accuracy"] == pytest.approx(expected["accuracy"], abs=0.01)
    assert result.values["image_accuracy"] == pytest.approx(expected["image_accuracy"], abs=0.01)


def test_all_real_questions_can_be_read_and_answered(golden_eval: Path, tmp_path: Path) -> None:
    """The published question file alone, without problems.json: its own answers score 100, "A" its share of them."""
    entries = read_json(golden_eval / "scienceqa" / "llava_test_CQM-A.json")
    letters = [entry["conversations"][1]["value"] for entry in entries]
    right = lines(tmp_path / "right.jsonl", (answer(e["id"], x) for e, x in zip(entries, letters, strict=True)))
    result = score("scienceqa", golden_eval, right, resamples=0)
    assert result.values["accuracy"] == 100
    assert result.questions == 4241
    always_a = lines(tmp_path / "a.jsonl", (answer(entry["id"], "A. because") for entry in entries))
    result = score("scienceqa", golden_eval, always_a, resamples=0)
    assert result.values["accuracy"] == pytest.approx(100 * letters.count("A") / len(letters))
    assert result.values["unread"] == 0


def test_a_resample_without_pictures_is_left_out() -> None:
    items = [Item(str(n), n, "?", truth={"letter": "A", "choices": 2, "image": n == 0}) for n in range(2)]
    result = accuracy_with(short_answer, of_images=True)(items, {"0": "A", "1": "A"}, Settings())
    assert result.headline_of(np.array([2.0, 0])) == 100
    assert np.isnan(result.headline_of(np.array([0.0, 2])))
