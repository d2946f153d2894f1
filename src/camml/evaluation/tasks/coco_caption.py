"""COCO captions, Karpathy's test split."""

from functools import partial

from camml.evaluation import submissions
from camml.evaluation.metrics.captions import measure, require_java
from camml.evaluation.questions import CAMML
from camml.evaluation.references import read_captioned
from camml.evaluation.task import DataFile, Task, published

QUESTIONS = DataFile("llava_coco_cap_karpathy_test.jsonl", CAMML, needed="run")
REFERENCES = DataFile("test_caption_coco_format.json", CAMML)

TASK = Task(
    title="COCO caption",
    folder="cococap",
    files=(QUESTIONS, REFERENCES),
    read=partial(read_captioned, QUESTIONS, REFERENCES, "."),
    metric=measure,
    headline="CIDEr",
    answer_keys=("image_id", "caption"),
    submit=submissions.captions,
    submission="COCO caption results",
    ready=require_java,
    points=100.0,
    published=published(111.4, 116.8),
)
