"""Referring expressions: a box is right where it overlaps the true one by at least half (IoU >= 0.5)."""

from collections.abc import Mapping, Sequence

from camml.boxes import FRAMES, Box, in_pixels, overlap, read_box
from camml.errors import OptionError, SampleError
from camml.evaluation.task import Item, Measured, Settings, mean

FORMS = {"xyxy": "left, top, right, bottom", "xywh": "left, top, width, height"}
"""How four numbers give a box; as a key in a file a form says itself how it is read."""


def measure(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
    """Return the percentage of boxes with IoU >= 0.5 and the mean IoU; an answer without a box has IoU 0.

    Items' truth is `{"box": [x1, y1, x2, y2], "form"?, "width"?, "height"?}`, the form as the file had it; sizes
    are needed only between different frames.

    Raises:
      OptionError: a frame that does not exist.
      SampleError: two different frames, and an image without a size.
    """
    for frame in (settings.answer_boxes, settings.truth_boxes):
        if frame not in FRAMES:
            raise OptionError(f"no box frame {frame!r}; there are: {', '.join(FRAMES)}")
    overlaps = {item.id: _item_overlap(item, answers[item.id], settings) for item in items}
    per_item = {key: float(value >= 0.5) for key, value in overlaps.items()}
    values = {"accuracy": 100 * mean(list(per_item.values())), "mean_iou": mean(list(overlaps.values()))}
    forms = sorted({str(item.truth["form"]) for item in items if "form" in item.truth})
    notes = [f"true boxes are read as {FORMS[form]}" for form in forms]
    return Measured(values, per_item, clusters=[item.cluster for item in items], notes=notes)


def _item_overlap(item: Item, answer: str, settings: Settings) -> float:
    box, truth = read_box(answer), Box(*item.truth["box"])
    if box is None:
        return 0.0
    if settings.answer_boxes in ("same", settings.truth_boxes):
        return overlap(box, truth)
    width, height = item.truth.get("width"), item.truth.get("height")
    if not width or not height:
        raise SampleError(f"question {item.id}: the size of its image is not known, so its box cannot change frames")
    return overlap(
        in_pixels(box, settings.answer_boxes, width, height), in_pixels(truth, settings.truth_boxes, width, height)
    )
