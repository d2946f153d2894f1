"""Items whose truth is a file of references for pictures or objects: captions and boxes."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from camml.evaluation.questions import read_questions, with_truth
from camml.evaluation.task import DataFile, Item
from camml.evaluation.truths import box_truth, caption_truth


def read_captioned(questions: DataFile, references: DataFile, images: str, folder: Path) -> list[Item]:
    """The pictures to caption; without a question file (which scoring does not need) those that have references."""
    path = references.require(folder)
    truth = caption_truth(path)
    found = questions.find(folder)
    if found is None:
        return [
            Item(key, int(key) if key.isdigit() else key, "", None, captions, {}, key)
            for key, captions in truth.items()
        ]
    return with_truth(read_questions(found, folder / images, key="image_id"), truth, path)


def read_boxed(questions: DataFile, references: DataFile, folder: Path) -> list[Item]:
    """The objects to find, with their boxes; sizes come from the references, or else from the picture's header."""
    path = references.require(folder)
    items = with_truth(read_questions(questions.require(folder), folder, key="obj_id"), box_truth(path), path)
    return [replace(item, truth=_size(item) | item.truth) for item in items]


def _size(item: Item) -> dict[str, int]:
    """Width and height of the picture, where it is there and the references do not say."""
    if "width" in item.truth or not isinstance(item.image, Path) or not item.image.is_file():
        return {}
    try:
        with Image.open(item.image) as picture:
            return {"width": picture.width, "height": picture.height}
    except OSError:  # a broken picture is reported when it is read for a run
        return {}
