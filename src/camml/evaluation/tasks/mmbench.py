"""MMBench dev, in English and in Chinese: multiple choice under every rotation of the options."""

from camml.evaluation.questions import ONE_LETTER
from camml.evaluation.rotations import sheet_task
from camml.evaluation.task import published

ONE_LETTER_CN = "请直接回答选项字母。"
FIGURES, FIGURES_CN = published(66.9, 70.2, 64.3, 67.7), published(60.6, 63.6, 58.3, 63.6)

TASKS = {
    "mmbench": sheet_task("MMBench", "mmbench", "mmbench_dev_20230712.tsv", ONE_LETTER, FIGURES),
    "mmbench_cn": sheet_task("MMBench-CN", "mmbench_cn", "mmbench_dev_cn_20231003.tsv", ONE_LETTER_CN, FIGURES_CN),
}
