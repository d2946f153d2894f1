"""MMBench dev: multiple choice under every rotation of the options."""

from camml.evaluation.questions import ONE_LETTER
from camml.evaluation.rotations import sheet_task
from camml.evaluation.task import published

TASK = sheet_task("MMBench", "mmbench", "mmbench_dev_20230712.tsv", ONE_LETTER, published(66.9, 70.2, 64.3, 67.7))
