"""MM-Vet: open questions that need several capabilities at once, graded by a judge."""

from dataclasses import replace
from pathlib import Path

from camml.errors import SampleError
from camml.evaluation import submissions
from camml.evaluation.files import read_json
from camml.evaluation.metrics.mmvet import grade_id, measure
from camml.evaluation.questions import LLAVA, read_questions
from camml.evaluation.task import DataFile, Item, Task, published

MMVET = "https://github.com/yuweihao/MM-Vet/releases/download/v1/mm-vet.zip"
QUESTIONS = DataFile("llava-mm-vet.jsonl", LLAVA)
TRUTH = DataFile("mm-vet.json", MMVET)
IMAGES = DataFile("images", MMVET, needed="run")


def read(folder: Path) -> list[Item]:
    """Read the items, each with its entry of mm-vet.json: question, answer and capabilities."""
    path = TRUTH.require(folder)
    items = read_questions(QUESTIONS.require(folder), folder / IMAGES.path)
    truth = read_json(path)
    if not isinstance(truth, dict):
        raise SampleError(f"{path} should be MM-Vet's own file: an object from id to question")
    lacking = [item.id for item in items if "capability" not in (truth.get(grade_id(item)) or {})]
    if lacking:
        raise SampleError(f"{path} has no capabilities for question {lacking[0]} and {len(lacking) - 1} others")
    return [replace(item, truth=truth[grade_id(item)]) for item in items]


TASK = Task(
    title="MM-Vet",
    folder="mm-vet",
    files=(QUESTIONS, TRUTH, IMAGES),
    read=read,
    metric=measure,
    headline="total",
    max_new_tokens=1024,
    submit=submissions.mmvet,
    submission="JSON for MM-Vet's grader",
    uses=("grades",),
    published=published(32.2, 36.4, 31.1, 36.1),
)
