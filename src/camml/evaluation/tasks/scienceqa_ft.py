"""ScienceQA with reasoning, for models fine-tuned on its training questions."""

from functools import partial

from camml.evaluation.metrics.scienceqa import accuracy_with, reasoned_answer
from camml.evaluation.task import DataFile, Task, published
from camml.evaluation.tasks.scienceqa import IMAGES, PROBLEMS, read

QUESTIONS = DataFile(
    "llava_test_QCM-LEPA.json", "`camml convert scienceqa --base-dir SCIENCEQA --prompt-format QCM-LEPA --split test`"
)

TASK = Task(
    title="ScienceQA fine-tuned",
    folder="scienceqa",
    files=(QUESTIONS, IMAGES, PROBLEMS),
    read=partial(read, QUESTIONS, ""),
    metric=accuracy_with(reasoned_answer),
    headline="accuracy",
    max_new_tokens=1024,
    prompt_styles={"official": "official_scienceqa"},
    uses=("random_guess",),
    published=published(91.32, 92.03),
)
