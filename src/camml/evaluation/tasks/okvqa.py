"""OK-VQA validation: questions that need knowledge from outside the picture."""

from pathlib import Path

from camml.evaluation.metrics.vqa import accuracy_by, vqa_accuracy
from camml.evaluation.questions import CAMML, read_questions, with_truth
from camml.evaluation.task import DataFile, Item, Task, published
from camml.evaluation.truths import vqa_truth

QUESTIONS = DataFile("llava_okvqa_val.jsonl", CAMML)
TRUTH = DataFile("llava_okvqa_val_gt.json", CAMML, also=("mscoco_val2014_annotations.json",))


def read(folder: Path) -> list[Item]:
    """Read the items, with the answers of their annotators."""
    path = TRUTH.require(folder)
    return with_truth(read_questions(QUESTIONS.require(folder), folder), vqa_truth(path), path)


TASK = Task(
    title="OK-VQA",
    folder="okvqa",
    files=(QUESTIONS, TRUTH),
    read=read,
    metric=accuracy_by(vqa_accuracy),
    headline="accuracy",
    answer_keys=("question_id", "answer"),
    published=published(64.7, 66.3),
)
