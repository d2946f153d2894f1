"""MME: perception and cognition in 14 subtasks of paired yes/no questions."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.evaluation import submissions
from camml.evaluation.files import shown
from camml.evaluation.metrics.mme import measure
from camml.evaluation.questions import LLAVA, read_questions
from camml.evaluation.task import DataFile, Item, Task, published
from camml.evaluation.truths import bare_question, mme_truth

QUESTIONS = DataFile("llava_mme.jsonl", LLAVA)
RELEASE = DataFile(
    "MME_Benchmark_release_version",
    "github.com/BradyFU/Awesome-Multimodal-Large-Language-Models, branch Evaluation",
)


def read(folder: Path) -> list[Item]:
    """Read the items; truth is in the text files beside the pictures."""
    release = RELEASE.require(folder)
    items = read_questions(QUESTIONS.require(folder), release)
    truth = mme_truth(release)
    asked = Counter(str(question_id) for question_id, _ in {(item.question_id, item.text) for item in items})
    return [replace(item, truth=_truth(item, truth, release) | {"questions": asked[str(item.question_id)]})
            for item in items]  # fmt: skip


def _truth(item: Item, truth: dict[tuple[str, str, str], dict[str, Any]], release: Path) -> dict[str, Any]:
    parts = str(item.question_id).split("/")
    key = (parts[0], parts[-1].split(".")[0], bare_question(item.text))
    if key not in truth:
        raise SampleError(f"{release} has no answer to question {item.id} ({shown(key[2])})")
    return truth[key] | {"image": item.question_id}


TASK = Task(
    title="MME",
    folder="MME",
    files=(QUESTIONS, RELEASE),
    read=read,
    metric=measure,
    headline="perception",
    submit=submissions.mme,
    submission="a folder for MME's calculation.py",
    submission_suffix="",
    together="all questions about a picture",
    published=published(1506.9, 1588.7, 1510.7, 1531.3),
)
