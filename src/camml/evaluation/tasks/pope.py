"""POPE: object hallucination on COCO, in three splits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.evaluation.metrics.pope import measure
from camml.evaluation.questions import LLAVA, read_questions
from camml.evaluation.task import DataFile, Item, Task, published
from camml.evaluation.truths import pope_truth

POPE = "the folder output/coco of github.com/AoiDragon/POPE (commit e3e39262c85a6a83f26cf5094022a782cb0df58d)"
SPLITS = ("adversarial", "popular", "random")
QUESTIONS = DataFile("llava_pope_test.jsonl", LLAVA)
IMAGES = DataFile("val2014", "http://images.cocodataset.org/zips/val2014.zip", needed="run")
LABELS = {split: DataFile(f"coco/coco_pope_{split}.json", POPE, also=(f"coco_pope_{split}.json",)) for split in SPLITS}


def read(folder: Path) -> list[Item]:
    """Read the items; the k-th question of a split has the k-th label of that split's file."""
    items = read_questions(QUESTIONS.require(folder), folder / IMAGES.path)
    labels = {split: iter(pope_truth(file.require(folder))) for split, file in LABELS.items()}
    return [replace(item, truth=_truth(item, labels, folder)) for item in items]


def _truth(item: Item, labels: dict[str, Any], folder: Path) -> dict[str, Any]:
    split = item.record.get("category")
    if split not in LABELS:
        raise SampleError(f"question {item.id}: {split!r} is not a split of POPE; there are: {', '.join(SPLITS)}")
    label = next(labels[split], None)
    if label is None or label["image"] != item.record.get("image") or not item.text.startswith(str(label["text"])):
        raise SampleError(f"question {item.id} and {LABELS[split].find(folder)} do not fit: another version of POPE?")
    return {"split": split, "present": label["present"]}


TASK = Task(
    title="POPE",
    folder="pope",
    files=(QUESTIONS, IMAGES, *LABELS.values()),
    read=read,
    metric=measure,
    headline="f1/mean",
    points=100.0,
    published=published(86.4, 86.7, 85.9, 85.9),
)
