"""RefCOCO+ validation: the box that a phrase refers to."""

from functools import partial

from camml.evaluation.metrics.boxes import measure
from camml.evaluation.questions import CAMML
from camml.evaluation.references import read_boxed
from camml.evaluation.task import DataFile, Task, published

QUESTIONS = DataFile("llava_refcocop_val.jsonl", CAMML)
BOXES = DataFile("llava_refcocop_val_gt.json", CAMML, also=("refcocop_val_gt.json",))

TASK = Task(
    title="RefCOCO+",
    folder="refcocop",
    files=(QUESTIONS, BOXES),
    read=partial(read_boxed, QUESTIONS, BOXES),
    metric=measure,
    headline="accuracy",
    answer_keys=("obj_id", "predict_boxes"),
    uses=("answer_boxes", "truth_boxes"),
    published=published(60.3, 65.9),
)
