"""TextVQA validation, with the OCR tokens that LLaVA's question file puts into the prompt."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.evaluation import submissions
from camml.evaluation.answers import core_question
from camml.evaluation.files import read_json
from camml.evaluation.metrics.vqa import accuracy_by, m4c_accuracy
from camml.evaluation.questions import LLAVA, read_questions
from camml.evaluation.task import DataFile, Item, Task, published
from camml.evaluation.truths import answer_texts

QUESTIONS = DataFile("llava_textvqa_val_v051_ocr.jsonl", LLAVA)
IMAGES = DataFile("train_images", "https://dl.fbaipublicfiles.com/textvqa/images/train_val_images.zip", needed="run")
ANNOTATIONS = DataFile("TextVQA_0.5.1_val.json", "https://dl.fbaipublicfiles.com/textvqa/data/TextVQA_0.5.1_val.json")


def read(folder: Path) -> list[Item]:
    """Read the items; an annotation belongs to the question of its picture with the same words, in any case.

    Those of the test split have no answers, so that there is no truth.
    """
    items = read_questions(QUESTIONS.require(folder), folder / IMAGES.path)
    path = ANNOTATIONS.require(folder)
    try:
        entries = read_json(path)["data"]
        notes = {(str(entry["image_id"]), entry["question"].strip().lower()): entry for entry in entries}
    except (KeyError, TypeError, AttributeError):
        raise SampleError(f"{path} should be TextVQA's annotations: an object whose 'data' is a list") from None
    lacking = [item.id for item in items if (str(item.question_id), core_question(item.text)) not in notes]
    if lacking:
        raise SampleError(f"{path} has no annotation for question {lacking[0]} and {len(lacking) - 1} others")
    return [_annotated(item, notes[str(item.question_id), core_question(item.text)], path) for item in items]


def _annotated(item: Item, note: Mapping[str, Any], path: Path) -> Item:
    """Return an item with TextVQA's own id of it, and with the answers of its annotators where they are known."""
    own = {submissions.TEXTVQA_ID: note["question_id"]} if "question_id" in note else {}
    item = replace(item, record={**item.record, **own})
    if "answers" not in note:
        return item
    return replace(item, truth={**note, "answers": answer_texts(note["answers"], f"{path}, question {item.id}")})


TASK = Task(
    title="TextVQA",
    folder="textvqa",
    files=(QUESTIONS, IMAGES, ANNOTATIONS),
    read=read,
    metric=accuracy_by(m4c_accuracy),
    headline="accuracy",
    submit=submissions.textvqa,
    submission="JSON for https://eval.ai/web/challenges/challenge-page/874",
    published=published(58.0, 59.9, 58.2, 61.3),
)
