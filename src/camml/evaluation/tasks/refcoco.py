"""RefCOCO, RefCOCO+ and RefCOCOg, validation: the box that a phrase refers to."""

from camml.evaluation.references import box_task
from camml.evaluation.task import published

TASKS = {
    "refcoco": box_task("RefCOCO", "refcoco", published(66.6, 70.6)),
    "refcocop": box_task("RefCOCO+", "refcocop", published(60.3, 65.9)),
    "refcocog": box_task("RefCOCOg", "refcocog", published(57.6, 60.5)),
}
