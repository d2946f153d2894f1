"""Another look at a question's picture, turned a little to either side, where several samples look about alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camml.images import ImageSource, open_image

TURNS = (-15, 15)
"""Degrees by which the picture is turned. Chosen among 15, 30, both, and mirroring on OwnPix's validation things:
docs/retrieval.md.
"""

LONGEST = 640
"""Most pixels a side of a picture that is turned: encoders see fewer, and turning a whole photograph takes a second."""

SAME = 1e-4
"""Difference in likeness up to which two pictures count as one: sums in another order differ a little."""

UNDECIDED = 0.1
"""Lead of the most similar picture, in likeness, below which the question's picture is turned, too. CaMML mini's margin
is as large.
"""


def is_undecided(likeness: Sequence[float] | NDArray[np.float32]) -> bool:
    """Return whether the picture most like the question's leads another one by less than `UNDECIDED`.

    Args:
      likeness: of pictures to the question's; equal values are those of one picture that several samples have.

    Example:
      >>> is_undecided([0.8, 0.75, 0.8])
      True
    """
    best = max(map(float, likeness), default=0.0)
    return any(SAME < best - value < UNDECIDED for value in likeness)


def turned(image: ImageSource) -> list[Image.Image]:
    """Return a picture turned by each of `TURNS`, with at most `LONGEST` pixels a side.

    New corners have the median color of its border.

    Raises:
      ImageError: it cannot be read.
    """
    whole = open_image(image, max_side=LONGEST)
    pixels = np.asarray(whole)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    color = tuple(int(value) for value in np.median(border, axis=0))
    return [whole.rotate(angle, Image.Resampling.BICUBIC, fillcolor=color) for angle in TURNS]
