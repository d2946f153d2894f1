"""RefCOCO+ validation: the box that a phrase refers to."""

from camml.evaluation.references import box_task
from camml.evaluation.task import published

TASK = box_task("RefCOCO+", "refcocop", published(60.3, 65.9))
