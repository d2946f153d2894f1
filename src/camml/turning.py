"""Another look at a question's picture, turned a little to either side, where several samples look about alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TURNS = (-15, 15)
"""Degrees by which the picture is turned. Chosen among 15, 30, both, and mirroring on OwnPix's validation things:
docs/retrieval.md.
"""

UNDECIDED = 0.1
"""Likeness by which the most similar picture must exceed the next one, or the question's is turned, too: as much as in
CaMML mini's margin.
"""


def is_undecided(likeness: Sequence[float] | NDArray[np.float32]) -> bool:
    """Return whether the picture most like the question's is hardly more so than another one.

    Args:
      likeness: of pictures to the question's; equal values are those of one picture, which several samples have.

    Example:
      >>> is_undecided([0.8, 0.75, 0.8])
      True
    """
    best = sorted(set(map(float, likeness)), reverse=True)[:2]
    return len(best) == 2 and best[0] - best[1] < UNDECIDED


def turned(image: Image.Image) -> list[Image.Image]:
    """Return a picture turned by each of `TURNS`, of its size; new corners have the median color of its border."""
    whole = image.convert("RGB")
    pixels = np.asarray(whole)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    color = tuple(int(value) for value in np.median(border, axis=0))
    return [whole.rotate(angle, Image.Resampling.BICUBIC, fillcolor=color) for angle in TURNS]
