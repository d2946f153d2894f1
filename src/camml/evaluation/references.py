"""Items whose truth is a file of references for pictures or objects: captions and boxes."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from camml.evaluation.box_forms import corners, form_of
from camml.evaluation.metrics import boxes
from camml.evaluation.questions import CAMML, read_questions, with_truth
from camml.evaluation.task import DataFile, Item, Task
from camml.evaluation.truths import box_truth, caption_truth


def read_captioned(questions: DataFile, references: DataFile, images: str, folder: Path) -> list[Item]:
    """Read the pictures to caption; without a question file (scoring needs none) those that have references."""
    path = references.require(folder)
    truth = caption_truth(path)
    file = questions.find(folder)
    if file is None:
        items = [
            Item(key, int(key) if key.isdigit() else key, "", None, captions, {}, key)
            for key, captions in truth.items()
        ]
    else:
        items = with_truth(read_questions(file, folder / images, key="image_id"), truth, path)
    among = {item.id: item.truth for item in items}
    return [replace(item, among=among) for item in items]


def box_task(title: str, name: str, published: Mapping[str, float]) -> Task:
    """Make the task that asks for the box a phrase refers to, with the files of `name` in the authors' layout."""
    questions = DataFile(f"llava_{name}_val.jsonl", CAMML)
    references = DataFile(f"llava_{name}_val_gt.json", CAMML, also=(f"{name}_val_gt.json",))
    return Task(
        title=title,
        folder=name,
        files=(questions, references),
        read=partial(read_boxed, questions, references),
        metric=boxes.measure,
        headline="accuracy",
        answer_keys=("obj_id", "predict_boxes"),
        uses=("answer_boxes", "truth_boxes"),
        published=published,
    )


def read_boxed(questions: DataFile, references: DataFile, folder: Path) -> list[Item]:
    """Return the objects to find, with left, top, right and bottom of their boxes, and the form these were read in.

    Sizes come from the references, or else from the picture's header.

    Raises:
      SampleError: no such files, or boxes that can be read in two ways.
    """
    path = references.require(folder)
    items = with_truth(read_questions(questions.require(folder), folder, key="obj_id"), box_truth(path), path)
    truths = [_size(item) | item.truth for item in items]
    untold = [truth for truth in truths if "form" not in truth]
    form = form_of(untold, path) if untold else ""
    forms = [truth.get("form", form) for truth in truths]
    read = [truth | {"box": corners(truth, its), "form": its} for truth, its in zip(truths, forms, strict=True)]
    return [replace(item, truth=truth) for item, truth in zip(items, read, strict=True)]


def _size(item: Item) -> dict[str, Any]:
    """Return width and height of the picture, where it is there and the references do not say."""
    if "width" in item.truth or not isinstance(item.image, Path) or not item.image.is_file():
        return {}
    try:
        with Image.open(item.image) as picture:
            return {"width": picture.width, "height": picture.height}
    except OSError:  # a broken picture is reported when it is read for a run
        return {}
