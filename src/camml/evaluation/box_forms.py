"""The form of the true boxes in a file: corners, or a corner with width and height (COCO's `bbox`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camml.errors import SampleError

MANY = 20
"""Boxes that are all wider and taller than they are far from the edges: no file of widths and heights has so many."""
_LEEWAY = 1.0  # pixels by which rounded boxes may leave their picture
_NEAR = 1e-3  # the same for boxes relative to the picture

Truth = Mapping[str, Any]


def corners(truth: Truth, form: str) -> list[float]:
    """Return left, top, right and bottom of a box of that form."""
    left, top, third, fourth = truth["box"]
    return [left, top, left + third, top + fourth] if form == "xywh" else [left, top, third, fourth]


def form_of(truths: Sequence[Truth], path: Path) -> str:
    """Return the form that all boxes of a file share, by what would be impossible: "xyxy" or "xywh".

    A right edge left of the left one cannot be; nor can a box that leaves its picture, whose size is known or which is
    1 by 1 where no number is above 1.

    Args:
      truths: as `box_truth` gives them, with `width` and `height` where they are known.

    Raises:
      SampleError: the boxes, in pixels, can be read both ways.
    """
    relative = all(side <= 1 + _NEAR for truth in truths for side in truth["box"])
    ordered = all(truth["box"][2] >= truth["box"][0] and truth["box"][3] >= truth["box"][1] for truth in truths)
    if not ordered or relative:
        return "xyxy" if ordered else "xywh"
    within = {form: all(_inside(truth, form) for truth in truths) for form in ("xyxy", "xywh")}
    if within["xyxy"] != within["xywh"]:
        return "xyxy" if within["xyxy"] else "xywh"
    sized = all("width" in truth and "height" in truth for truth in truths)
    if not within["xyxy"] or (not sized and len(truths) >= MANY):
        return "xyxy"
    raise SampleError(
        f"{path}: its boxes, such as {truths[0]['box']}, can be read as left, top, right, bottom and as left, top, "
        "width, height; name their key 'xyxy' or 'xywh' (left, top, width, height) instead"
    )


def _inside(truth: Truth, form: str) -> bool:
    """Return whether a box in pixels lies in its picture; a side that is not known has no end."""
    _, _, right, bottom = corners(truth, form)
    unknown = float("inf")
    return bool(right <= truth.get("width", unknown) + _LEEWAY and bottom <= truth.get("height", unknown) + _LEEWAY)
