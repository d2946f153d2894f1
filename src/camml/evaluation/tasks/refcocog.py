"""RefCOCOg validation: the box that a phrase refers to."""

from camml.evaluation.references import box_task
from camml.evaluation.task import published

TASK = box_task("RefCOCOg", "refcocog", published(57.6, 60.5))
