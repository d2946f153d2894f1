"""RefCOCOg validation: the box that a phrase refers to."""

from functools import partial

from camml.evaluation.metrics.boxes import measure
from camml.evaluation.questions import CAMML
from camml.evaluation.references import read_boxed
from camml.evaluation.task import DataFile, Task, published

QUESTIONS = DataFile("llava_refcocog_val.jsonl", CAMML)
BOXES = DataFile("llava_refcocog_val_gt.json", CAMML, also=("refcocog_val_gt.json",))

TASK = Task(
    title="RefCOCOg",
    folder="refcocog",
    files=(QUESTIONS, BOXES),
    read=partial(read_boxed, QUESTIONS, BOXES),
    metric=measure,
    headline="accuracy",
    answer_keys=("obj_id", "predict_boxes"),
    uses=("answer_boxes", "truth_boxes"),
    published=published(57.6, 60.5),
)
