"""RefCOCO validation: the box that a phrase refers to."""

from camml.evaluation.references import box_task
from camml.evaluation.task import published

TASK = box_task("RefCOCO", "refcoco", published(66.6, 70.6))
