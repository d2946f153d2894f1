"""True answers in every form that benchmarks publish them, and whatever else may stand in a file."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camml.errors import CaMMLError, SampleError
from camml.evaluation.metrics.mmvet import read_grades
from camml.evaluation.questions import read_conversations, read_questions
from camml.evaluation.truths import (
    bare_question,
    box_truth,
    caption_truth,
    choice_truth,
    mme_truth,
    pope_truth,
    science_truth,
    vqa_truth,
)
from tests.layouts import document, lines


@pytest.mark.parametrize(
    "value",
    [
        {"annotations": [{"question_id": 7, "answers": [{"answer": "a"}, {"answer": "b"}]}]},
        [{"question_id": "7", "answers": ["a", "b"]}],
        {"7": ["a", "b"]},
        {"7": {"answers": ["a", "b"]}},
    ],
)
def test_vqa_answers_in_every_form(tmp_path: Path, value: object) -> None:
    assert vqa_truth(document(tmp_path / "t.json", value)) == {"7": {"answers": ["a", "b"], "group": {}}}


def test_vizwiz_has_the_name_of_a_picture_for_an_id(tmp_path: Path) -> None:
    entry = {
        "image": "VizWiz_val_00000000.jpg", "question": "What is this?", "answer_type": "other", "answerable": 1,
        "answers": [{"answer": "soap", "answer_confidence": "yes"}, {"answer": "a bar", "answer_confidence": "maybe"}],
    }  # fmt: skip
    truth = vqa_truth(document(tmp_path / "t.json", [entry]))
    assert truth == {"VizWiz_val_00000000.jpg": {"answers": ["soap", "a bar"], "group": {"answer_type": "other"}}}
    with pytest.raises(SampleError, match=r"question VizWiz_val_00000000\.jpg is there twice"):
        vqa_truth(document(tmp_path / "t.json", [entry, entry]))


def test_numbers_are_read_as_texts(tmp_path: Path) -> None:
    entry = {"question_id": 7, "answers": [2, {"answer": 2.0}, {"answer": 2.5}, "two"]}
    assert vqa_truth(document(tmp_path / "t.json", [entry]))["7"]["answers"] == ["2", "2", "2.5", "two"]
    for wrong in (None, True, {}, []):
        with pytest.raises(SampleError, match=r"entry 1 \(question 7\) should have answers as texts"):
            vqa_truth(document(tmp_path / "t.json", [{"question_id": 7, "answers": ["two", wrong]}]))


def test_vqa_groups(tmp_path: Path) -> None:
    entry = {"question_id": 7, "answers": ["a"], "answer_type": "other", "question_type": "what is"}
    result = vqa_truth(document(tmp_path / "t.json", [entry]))["7"]["group"]
    assert result == {"answer_type": "other", "question_type": "what is"}


@pytest.mark.parametrize(
    "value",
    [
        [{"obj_id": 3, "bbox": [0, 0.5, 1, 1]}],
        [{"obj_id": "3", "gt_boxes": [[0, 0.5, 1, 1]]}],
        [{"obj_id": 3, "answer": "[0, 0.5, 1, 1]"}],
        {"3": [0, 0.5, 1, 1]},
        {"3": {"box": [0, 0.5, 1, 1]}},
    ],
)
def test_boxes_in_every_form(tmp_path: Path, value: object) -> None:
    assert box_truth(document(tmp_path / "t.json", value)) == {"3": {"box": [0, 0.5, 1, 1]}}


def test_boxes_as_lines_with_sizes(tmp_path: Path) -> None:
    entry = {"obj_id": 3, "bbox": [0, 1, 2, 3], "width": 40, "height": 30, "phrase": "dog"}
    wanted = {"box": [0, 1, 2, 3], "width": 40, "height": 30}
    assert box_truth(lines(tmp_path / "one.jsonl", [entry])) == {"3": wanted}
    two = lines(tmp_path / "two.jsonl", [entry, entry | {"obj_id": 4}])
    assert box_truth(two) == {"3": wanted, "4": wanted}


def test_captions_are_gathered_by_picture(tmp_path: Path) -> None:
    annotations = [{"image_id": 1, "caption": "a"}, {"image_id": 2, "caption": "b"}, {"image_id": 1, "caption": "c"}]
    result = caption_truth(document(tmp_path / "t.json", {"annotations": annotations}))
    assert result == {"1": ["a", "c"], "2": ["b"]}


def test_a_caption_that_is_no_text_is_refused(tmp_path: Path) -> None:
    annotations = [{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": None}]
    with pytest.raises(SampleError, match="entry 2: the caption should be a text, not None"):
        caption_truth(document(tmp_path / "t.json", {"annotations": annotations}))


def test_science_letters_without_problems() -> None:
    turns = [{"value": "Which?\nA. x\nB. y\nC. z"}, {"value": "B"}]
    result = science_truth({"id": "1", "conversations": turns}, None)
    assert (result["letter"], result["choices"]) == ("B", 3)
    later = [{"value": "And of these?\nA. v\nB. w"}, {"value": "A"}]  # the truth is that of the first question
    assert science_truth({"id": "1", "conversations": [*turns, *later]}, None) == result
    turns = [{"value": "Which? Options: (A) x (B) y\n"}, {"value": "LECTURE: l ANSWER: B."}]
    result = science_truth({"id": "1", "conversations": turns}, None)
    assert (result["letter"], result["choices"]) == ("B", 2)
    with pytest.raises(SampleError, match=r"question 1: no letter in its answer 'y'; put problems.json"):
        science_truth({"id": "1", "conversations": [{"value": "Which?"}, {"value": "y"}]}, None)


def test_hidden_files_beside_the_texts_of_mme_are_no_texts(tmp_path: Path) -> None:
    """macOS writes a `._NAME` beside every file on other disks; a release that was unpacked there has them."""
    for place in (tmp_path / "color", tmp_path / "artwork" / "questions_answers_YN", tmp_path / "._odd"):
        place.mkdir(parents=True)
        (place / "0001.txt").write_text("Is it red? Please answer yes or no.\tYes\n")
        (place / "._0001.txt").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \xb0")
        (place / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
    truth = mme_truth(tmp_path)
    assert truth.keys() >= {(subtask, "0001", "Is it red?") for subtask in ("color", "artwork")}
    assert {stem for _, stem, _ in truth} == {"0001"}


def test_questions_lose_their_instructions() -> None:
    asked = "Is it so?  Please answer yes or no."
    assert bare_question(asked) == bare_question(
        "Is it so?\nAnswer the question using a single word or phrase. Careful!"
    )


KEYS = [
    "annotations", "question_id", "answers", "answer", "id", "image", "text", "conversations", "value", "obj_id",
    "bbox", "box", "image_id", "caption", "choices", "correct_choice_idx", "direct_answers", "label", "score", "7",
]  # fmt: skip
scalars = st.none() | st.booleans() | st.integers(-2, 5) | st.floats(allow_nan=False) | st.text(max_size=4)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)
READERS: list[Callable[[Path], object]] = [
    vqa_truth, box_truth, caption_truth, choice_truth, pope_truth, read_grades,
    lambda path: read_questions(path, path), lambda path: read_conversations(path, path),
]  # fmt: skip


@pytest.mark.long
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_values)
def test_any_json_is_read_or_refused(tmp_path: Path, value: object) -> None:
    path = document(tmp_path / "t.json", value)
    for read in READERS:
        with suppress(CaMMLError):
            read(path)


@pytest.mark.parametrize("turn", [{"value": None}, {"value": 5}, {"value": ["a"]}])
def test_a_turn_that_is_no_text_is_refused(tmp_path: Path, turn: dict[str, object]) -> None:
    path = document(tmp_path / "a.json", [{"id": 1, "conversations": [turn]}])
    with pytest.raises(SampleError, match="entry 1: the first turn and the image should be a text each"):
        read_conversations(path, tmp_path)
    path = document(tmp_path / "a.json", [{"id": 1, "image": 5, "conversations": [{"value": "a"}]}])
    with pytest.raises(SampleError, match="entry 1: the first turn and the image should be a text each"):
        read_conversations(path, tmp_path)
    with pytest.raises(SampleError, match=r"question 1 has no answer; put problems.json beside the file"):
        science_truth({"id": 1, "conversations": [{"value": "Which?"}]}, None)


def test_two_annotations_of_one_question_are_refused(tmp_path: Path) -> None:
    twice = [{"question_id": 1, "answers": ["red"]}, {"question_id": "1", "answers": ["blue"]}]
    for value in (twice, {"annotations": twice}):
        with pytest.raises(SampleError, match="question 1 is there twice, the second time as entry 2; leave one"):
            vqa_truth(document(tmp_path / "t.json", value))
    entry = {"question_id": 1, "choices": ["a", "b"], "correct_choice_idx": 0}
    with pytest.raises(SampleError, match="question 1 is there twice, the second time as entry 2; leave one"):
        choice_truth(document(tmp_path / "c.json", [entry, entry]))
