"""Boxes in the words of an answer, and where on the picture they lie."""

import re
from dataclasses import dataclass

FRAMES = ("same", "normalised", "padded", "pixels")
"""What coordinates are relative to: the image's width and height ("normalised"), the longer side of the image padded to
a centred square ("padded"), or nothing ("pixels"); "same" is the frame of the truth, whichever that is."""

_NUMBER = r"\s*(-?(?:\d++\.?\d*|\.\d+))\s*"
_BOX = re.compile(r"[\[(]" + ",".join([_NUMBER] * 4) + r"[\])]")
_FARTHEST = 1e9  # no picture is so large, and what is multiplied with it stays a number


@dataclass(frozen=True, slots=True)
class Box:
    """Left, top, right and bottom."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Width times height; 0 for a box turned inside out."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)


def read_box(text: str) -> Box | None:
    """Read the first `[x1, y1, x2, y2]` (or in round brackets) of an answer; one beyond all pictures is none."""
    match = _BOX.search(text)
    sides = [float(side) for side in match.groups()] if match else []
    return Box(*sides) if sides and max(map(abs, sides)) < _FARTHEST else None


def overlap(first: Box, second: Box) -> float:
    """Return intersection over union, in [0, 1]; 0 where a box has no area.

    It is the same in every frame, as long as both boxes are in one.
    """
    shared = Box(max(first.left, second.left), max(first.top, second.top), min(first.right, second.right),
                 min(first.bottom, second.bottom)).area  # fmt: skip
    if not shared:
        return 0.0
    return shared / (first.area + second.area - shared)


def in_pixels(box: Box, frame: str, width: int, height: int) -> Box:
    """Convert `box` from one of the frames to pixels of a `width` x `height` image.

    The square has the image in its middle, shifted by a whole number of pixels, as LLaVA pads.
    """
    if frame == "pixels":
        return box
    if frame == "normalised":
        return Box(box.left * width, box.top * height, box.right * width, box.bottom * height)
    side = max(width, height)
    across, down = (side - width) // 2, (side - height) // 2
    return Box(box.left * side - across, box.top * side - down, box.right * side - across, box.bottom * side - down)
