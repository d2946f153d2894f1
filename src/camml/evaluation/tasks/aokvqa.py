"""A-OKVQA validation: multiple choice, and direct answers where they were asked for."""

from pathlib import Path

from camml.evaluation import submissions
from camml.evaluation.metrics.choices import aokvqa_accuracy
from camml.evaluation.questions import CAMML, read_questions, with_truth
from camml.evaluation.task import DataFile, Item, Task, published
from camml.evaluation.truths import choice_truth

QUESTIONS = DataFile("llava_aokvqa_val.jsonl", CAMML)
TRUTH = DataFile("llava_aokvqa_val_gt.json", CAMML, also=("aokvqa_v1p0_val.json",))


def read(folder: Path) -> list[Item]:
    """Read the items, with choices and direct answers."""
    path = TRUTH.require(folder)
    return with_truth(read_questions(QUESTIONS.require(folder), folder), choice_truth(path), path)


TASK = Task(
    title="A-OKVQA",
    folder="aokvqa",
    files=(QUESTIONS, TRUTH),
    read=read,
    metric=aokvqa_accuracy,
    headline="multiple_choice",
    answer_keys=("question_id", "answer"),
    submit=submissions.aokvqa,
    submission="JSON for A-OKVQA's evaluation",
    published=published(81.1, 82.0),
)
