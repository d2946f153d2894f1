"""VQAv2 test-dev: answers go to the server; where annotations for the questions are there, they score locally."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from camml.evaluation.files import read_lines, write_json
from camml.evaluation.metrics.vqa import accuracy_by, evalai_answer, submitted_accuracy
from camml.evaluation.questions import LLAVA, read_questions, with_truth
from camml.evaluation.task import DataFile, Item, Task, published
from camml.evaluation.truths import vqa_truth

QUESTIONS = DataFile("llava_vqav2_mscoco_test-dev2015.jsonl", LLAVA)
WHOLE_TEST = DataFile("llava_vqav2_mscoco_test2015.jsonl", LLAVA, needed="optional")
IMAGES = DataFile("test2015", "http://images.cocodataset.org/zips/test2015.zip", needed="run")
ANNOTATIONS = DataFile(
    "annotations.json", "https://visualqa.org/download.html (training and validation only)", needed="optional"
)


def read(folder: Path) -> list[Item]:
    """Read the items; with truth only where an annotation file has been put beside them."""
    items = read_questions(QUESTIONS.require(folder), folder / IMAGES.path)
    annotations = ANNOTATIONS.find(folder)
    return with_truth(items, vqa_truth(annotations), annotations) if annotations else items


def submit(items: Sequence[Item], answers: Mapping[str, str], path: Path, folder: Path) -> None:
    """Write `[{"question_id", "answer"}]`; questions of the test split that were not asked get an empty answer."""
    texts = {item.question_id: evalai_answer(answers[item.id]) for item in items}
    whole = WHOLE_TEST.find(folder)
    ids = [record["question_id"] for _, record in read_lines(whole)] if whole else list(texts)
    write_json(path, [{"question_id": key, "answer": texts.get(key, "")} for key in ids])


TASK = Task(
    title="VQAv2 test-dev",
    folder="vqav2",
    files=(QUESTIONS, IMAGES, WHOLE_TEST, ANNOTATIONS),
    read=read,
    metric=accuracy_by(submitted_accuracy),
    headline="accuracy",
    submit=submit,
    submission="JSON for https://eval.ai/web/challenges/challenge-page/830",
    published=published(79.4, 80.2, 78.5, 80.0),
)
