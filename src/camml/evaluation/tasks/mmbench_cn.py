"""MMBench-CN dev: MMBench in Chinese."""

from functools import partial

from camml.evaluation import submissions
from camml.evaluation.metrics.choices import circular_accuracy
from camml.evaluation.rotations import read_rotations
from camml.evaluation.task import DataFile, Task, published

FILE = "mmbench_dev_cn_20231003.tsv"
QUESTIONS = DataFile(FILE, f"https://download.openmmlab.com/mmclassification/datasets/mmbench/{FILE}")
ONE_LETTER = "请直接回答选项字母。"

TASK = Task(
    title="MMBench-CN",
    folder="mmbench_cn",
    files=(QUESTIONS,),
    read=partial(read_rotations, QUESTIONS, ONE_LETTER),
    metric=circular_accuracy,
    headline="accuracy",
    max_new_tokens=1024,
    submit=submissions.mmbench,
    submission="xlsx for the MMBench server",
    submission_suffix=".xlsx",
    published=published(60.6, 63.6, 58.3, 63.6),
)
