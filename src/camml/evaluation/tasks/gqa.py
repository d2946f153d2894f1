"""GQA test-dev, balanced."""

from pathlib import Path

from camml.errors import SampleError
from camml.evaluation import submissions
from camml.evaluation.files import read_json
from camml.evaluation.metrics.gqa import measure
from camml.evaluation.questions import LLAVA, read_questions, with_truth
from camml.evaluation.task import DataFile, Item, Task, published

GQA = "https://cs.stanford.edu/people/dorarad/gqa/download.html"
QUESTIONS = DataFile("llava_gqa_testdev_balanced.jsonl", LLAVA)
IMAGES = DataFile("data/images", GQA, needed="run")
TRUTH = DataFile(
    "data/testdev_balanced_questions.json",
    GQA,
    also=("data/questions1.2/testdev_balanced_questions.json", "testdev_balanced_questions.json"),
)


def read(folder: Path) -> list[Item]:
    """Read the items, each with its entry of GQA's own question file as truth."""
    items = read_questions(QUESTIONS.require(folder), folder / IMAGES.path)
    path = TRUTH.require(folder)
    truth = read_json(path)
    if not isinstance(truth, dict) or not all(
        isinstance(entry, dict) and "answer" in entry for entry in truth.values()
    ):
        raise SampleError(f"{path} should be GQA's questions: an object from id to a question with its answer")
    return with_truth(items, truth, path)


TASK = Task(
    title="GQA",
    folder="gqa",
    files=(QUESTIONS, IMAGES, TRUTH),
    read=read,
    metric=measure,
    headline="accuracy",
    submit=submissions.gqa,
    submission="predictions for GQA's eval.py",
    published=published(62.7, 63.7, 62.0, 63.3),
)
