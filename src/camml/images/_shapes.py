"""Pictures of any shape brought to the square that a model looks at, without a square of gigabytes on the way."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

LONGEST_SQUARE, STRIP = 11_000, 4096
"""Pixels a side of the largest square that an image is padded to; a longer strip is first shrunk to STRIP."""

LONGEST_STRIP = 16
"""How many times as long as wide a part is looked at where only the middle square counts."""


def mean_color(mean: Sequence[float]) -> tuple[int, ...]:
    """Return the mean of an image processor, each in [0, 1], as a colour; cut to integers, not rounded.

    Source: LLaVA, `image_aspect_ratio` "pad".
    """
    return tuple(int(value * 255) for value in mean)


def pad_to_square(image: Image.Image, color: tuple[int, ...]) -> Image.Image:
    """Return `image` in the middle of a square of `color`; where that is between two pixels, the upper or left one.

    A strip that is longer than LONGEST_SQUARE is shrunk first.
    """
    if max(image.size) > LONGEST_SQUARE and image.width != image.height:
        width, height = (max(1, round(side * STRIP / max(image.size))) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    width, height = image.size
    side = max(width, height)
    if width == height:
        return image
    square = Image.new(image.mode, (side, side), color)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def middle_of_strip(image: Image.Image) -> Image.Image:
    """Return the middle of an image that is more than LONGEST_STRIP times as long as wide, others as they are.

    For preparations that bring the short side to a size and then cut out the middle square: of a picture of one row of
    pixels they would make one of gigabytes first.
    """
    width, height = image.size
    most = LONGEST_STRIP * min(width, height)
    # an even number of pixels is cut off, so that the middle stays where it is
    left, top = ((side - most + 1) // 2 if side > most else 0 for side in (width, height))
    return image.crop((left, top, width - left, height - top)) if left or top else image


def cuts_middle(image_processor: Any) -> bool:
    """Return whether an image processor of transformers brings the short side to a size and cuts out the middle."""
    size = dict(getattr(image_processor, "size", None) or {})
    bounded = size.get("longest_edge") is not None
    return size.get("shortest_edge") is not None and not bounded and bool(image_processor.do_center_crop)
