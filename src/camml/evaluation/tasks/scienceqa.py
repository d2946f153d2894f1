"""ScienceQA with short answers: the zero-shot protocol of LLaVA-1.5; papers quote the questions with an image."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from camml.errors import SampleError
from camml.evaluation.files import read_json
from camml.evaluation.metrics.scienceqa import accuracy_with, short_answer
from camml.evaluation.questions import LLAVA, ONE_LETTER, read_conversations
from camml.evaluation.task import DataFile, Item, Task, published
from camml.evaluation.truths import science_truth

SCIENCEQA = "the folder data/scienceqa of github.com/lupantech/ScienceQA"
QUESTIONS = DataFile("llava_test_CQM-A.json", LLAVA, also=("llava_test_CQA-A.json",))
PROBLEMS = DataFile("problems.json", SCIENCEQA, needed="optional")
IMAGES = DataFile("images/test", SCIENCEQA, needed="run", also=("images",))


def read(questions: DataFile, suffix: str, folder: Path) -> list[Item]:
    """Read the items, with the true letters, and the groups of the paper where problems.json is there."""
    images = IMAGES.find(folder) or folder / IMAGES.path
    items = read_conversations(questions.require(folder), images, suffix)
    problems_file = PROBLEMS.find(folder)
    problems = read_json(problems_file) if problems_file else {}
    if not isinstance(problems, dict):
        raise SampleError(f"{problems_file} should be ScienceQA's own file: an object from id to problem")
    return [replace(item, truth=science_truth(item.record, problems.get(item.id))) for item in items]


TASK = Task(
    title="ScienceQA image",
    folder="scienceqa",
    files=(QUESTIONS, IMAGES, PROBLEMS),
    read=partial(read, QUESTIONS, "\n" + ONE_LETTER),
    metric=accuracy_with(short_answer, of_images=True),
    headline="image_accuracy",
    max_new_tokens=1024,
    uses=("random_guess",),
    published=published(67.9, 72.3, 66.8, 71.6),
)
