"""MMBench-CN dev: MMBench in Chinese."""

from camml.evaluation.rotations import sheet_task
from camml.evaluation.task import published

ONE_LETTER = "请直接回答选项字母。"
FIGURES = published(60.6, 63.6, 58.3, 63.6)

TASK = sheet_task("MMBench-CN", "mmbench_cn", "mmbench_dev_cn_20231003.tsv", ONE_LETTER, FIGURES)
