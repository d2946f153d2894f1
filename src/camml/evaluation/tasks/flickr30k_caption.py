"""Flickr30k captions, Karpathy's test split."""

from functools import partial

from camml.evaluation import submissions
from camml.evaluation.metrics.captions import measure, require_java
from camml.evaluation.questions import CAMML
from camml.evaluation.references import read_captioned
from camml.evaluation.task import DataFile, Task, published

QUESTIONS = DataFile("llava_flickr30k_test.jsonl", CAMML, needed="run")
REFERENCES = DataFile("test_caption_flickr30k.json", CAMML)
IMAGES = DataFile("flickr30k-images", "https://shannon.cs.illinois.edu/DenotationGraph/", needed="run")

TASK = Task(
    title="Flickr30k caption",
    folder="flickr30k",
    files=(QUESTIONS, REFERENCES, IMAGES),
    read=partial(read_captioned, QUESTIONS, REFERENCES, IMAGES.path),
    metric=measure,
    headline="CIDEr",
    answer_keys=("image_id", "caption"),
    submit=submissions.captions,
    submission="COCO caption results",
    ready=require_java,
    points=100.0,
    published=published(82.7, 84.5),
)
