"""MMBench dev: multiple choice under every rotation of the options."""

from functools import partial

from camml.evaluation import submissions
from camml.evaluation.metrics.choices import circular_accuracy
from camml.evaluation.questions import ONE_LETTER
from camml.evaluation.rotations import read_rotations
from camml.evaluation.task import DataFile, Task, published

FILE = "mmbench_dev_20230712.tsv"
QUESTIONS = DataFile(FILE, f"https://download.openmmlab.com/mmclassification/datasets/mmbench/{FILE}")

TASK = Task(
    title="MMBench",
    folder="mmbench",
    files=(QUESTIONS,),
    read=partial(read_rotations, QUESTIONS, ONE_LETTER),
    metric=circular_accuracy,
    headline="accuracy",
    max_new_tokens=1024,
    submit=submissions.mmbench,
    submission="xlsx for the MMBench server",
    submission_suffix=".xlsx",
    published=published(66.9, 70.2, 64.3, 67.7),
)
