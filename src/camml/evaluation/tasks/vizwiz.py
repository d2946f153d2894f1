"""VizWiz test: answers go to the server; where annotations for the questions are there, they score locally."""

from pathlib import Path

from camml.evaluation import submissions
from camml.evaluation.metrics.vqa import accuracy_by, submitted_accuracy
from camml.evaluation.questions import LLAVA, read_questions, with_truth
from camml.evaluation.task import DataFile, Item, Task, published
from camml.evaluation.truths import vqa_truth

QUESTIONS = DataFile("llava_test.jsonl", LLAVA)
IMAGES = DataFile("test", "https://vizwiz.cs.colorado.edu/VizWiz_final/images/test.zip", needed="run")
ANNOTATIONS = DataFile(
    "annotations.json", "https://vizwiz.org/tasks-and-datasets/vqa (validation only)", needed="optional"
)


def read(folder: Path) -> list[Item]:
    """Read the items; with truth only where an annotation file has been put beside them.

    VizWiz has one question for each picture, whose name stands in its annotations for an id.
    """
    items = read_questions(QUESTIONS.require(folder), folder / IMAGES.path)
    annotations = ANNOTATIONS.find(folder)
    if annotations is None:
        return items
    truth = vqa_truth(annotations)
    own = {str(item.question_id): item.image.name for item in items if isinstance(item.image, Path)}
    truth |= {key: truth[name] for key, name in own.items() if key not in truth and name in truth}
    return with_truth(items, truth, annotations)


TASK = Task(
    title="VizWiz test-dev",
    folder="vizwiz",
    files=(QUESTIONS, IMAGES, ANNOTATIONS),
    read=read,
    metric=accuracy_by(submitted_accuracy),
    headline="accuracy",
    submit=submissions.vizwiz,
    submission="JSON for https://eval.ai/web/challenges/challenge-page/2185",
    published=published(51.2, 57.4, 50.0, 53.6),
)
