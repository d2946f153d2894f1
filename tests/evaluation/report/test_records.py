"""Log lines become what the page shows."""

from pathlib import Path

import pytest

from camml.evaluation.report.pictures import Pictures
from camml.evaluation.report.records import SampleTable, entry, truth_in_words, verdicts
from camml.evaluation.report.samples import QuestionPictures
from camml.types import Sample
from tests.evaluation.report.conftest import record
from tests.layouts import picture


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        (None, ""),
        ("B", "B"),
        (["a dog", "the dog"], "a dog\nthe dog"),
        ({"answers": ["yes", "no", "yes"], "group": {}}, "yes (×2), no"),
        ({"answers": ["yes", "yes"]}, "yes"),
        ({"split": "random", "present": False}, "no"),
        ({"choices": ["cat", "dog"], "correct": 1, "direct": []}, "dog"),
        ({"choices": ["cat"], "correct": 7}, '{"choices": ["cat"], "correct": 7}'),
        ({"answer": "B", "options": {"A": "cat", "B": "dog"}}, "B: dog"),
        ({"letter": "C", "choices": 3}, "C"),
        ({"subtask": "ocr", "answer": "Yes"}, "Yes"),
        ({"box": [0.1, 0.2, 0.5, 0.6]}, "[0.1, 0.2, 0.5, 0.6]"),
        ({"odd": 1}, '{"odd": 1}'),
    ],
)
def test_a_truth_is_put_in_words(truth: object, words: str) -> None:
    assert truth_in_words(truth) == words


def test_scores_become_verdicts() -> None:
    assert verdicts([1, 0.0, 0.3, None, 0.9999999999], "accuracy") == ["right", "wrong", "partly", "unscored", "right"]
    assert verdicts([3.0, 0.0, 0.6, None], "CIDEr") == ["above", "below", "below", "unscored"]
    assert verdicts([0.0, 0.0], "CIDEr") == ["above", "above"]
    assert verdicts([None], "CIDEr") == ["unscored"]


def test_an_entry_has_its_samples_those_given_first_in_their_order(tmp_path: Path) -> None:
    name = picture(tmp_path / "a.png", 1)
    known = {"s1": Sample("s1", "text 1", tmp_path / name), "s2": Sample("s2", "text 2", tmp_path / "gone.png")}
    pictures = Pictures(tmp_path / "pictures")
    table = SampleTable(known, pictures)
    line = record(3, 0.0, used=["s2", "s1"], retrieved=[{"id": f"s{n}", "score": 0.5 + n} for n in range(3)],
                  image=str(tmp_path / name))  # fmt: skip
    shown = entry(line, "wrong", table, QuestionPictures("okvqa", tmp_path), pictures)
    assert [[table.rows[number]["id"], score, place] for number, score, place in shown["samples"]] == [
        ["s2", 2.5, 1], ["s1", 1.5, 2], ["s0", 0.5, 0]
    ]  # fmt: skip
    assert table.rows[0] == {"id": "s2", "text": "text 2", "lost": True}
    assert table.rows[1] == {"id": "s1", "text": "text 1", "picture": shown["picture"]}
    assert (tmp_path / "pictures" / shown["picture"]).is_file()
    assert shown["tokens"] == [7, 2]
    assert list(pictures.lost) == [str(tmp_path / "gone.png")]


def test_a_score_of_zero_and_an_empty_answer_are_kept_and_empty_fields_are_not(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path)
    line = record(0, 0.0, answer="", truth=None, retrieved=[], used=[])
    shown = entry(line, "wrong", SampleTable({}, pictures), QuestionPictures("okvqa", tmp_path), pictures)
    assert shown == {
        "id": "q0", "question": "What is 0?", "answer": "", "score": 0.0, "verdict": "wrong", "tokens": [7, 2]
    }  # fmt: skip
