"""Near-duplicates among the vectors of a datastore; the threshold depends on the encoder.

To an encoder whose vectors go apart, DINOv2 or CLIP, two pictures with a cosine of 0.98 show the same. A narrow one
gives 0.99 to any two pictures, so how far its vectors usually are from one another is measured on the datastore.
"""

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from camml.errors import OptionError
from camml.types import Context, Neighbor

Vectors = NDArray[np.float32]
Above = float | Literal["measured"] | None
OnDuplicate = Callable[[Neighbor, Neighbor], None]
"""A function that is called with a neighbor left out as a near-duplicate, and the nearer one that stays."""

DUPLICATE = 0.98
"""The cosine of near-duplicates to an encoder whose vectors go apart."""
APART = 0.25
"""How far, 1 - cosine, two samples usually are to such an encoder, at least. To a narrower one near-duplicates are
nearer in the same proportion."""
FEWEST, MOST = 8, 128
"""Samples on which it is measured; fewer do not say what is usual."""
ROUNDING = 1e-6
"""By how much the cosine of two equal vectors may fall short of 1."""

_logger = logging.getLogger("camml")


class DuplicateDetector:
    """Says whether two samples are near-duplicates.

    Args:
      above: the cosine from which they are; "measured" for what the datastore says, none for never.
      spaced: some vectors of a modality, at most so many, that stand for all of the datastore.
      encoder: what made the vectors, for messages.

    Raises:
      OptionError: `above` is no such cosine.
    """

    def __init__(self, above: Above, spaced: Callable[[str, int], Vectors], encoder: str) -> None:
        if isinstance(above, int | float) and not 0 < above <= 1:
            raise OptionError(f"duplicate_above is a cosine above 0 and at most 1, not {above}")
        self.above = above
        self._spaced = spaced
        self._encoder = encoder
        self._measured: dict[str, float] = {}

    def same(self, first: Vectors | None, second: Vectors | None, modality: str) -> bool:
        """Return whether two vectors are close enough, or two samples both have none."""
        if first is None or second is None or self.above is None:
            return first is second
        return float(first @ second) >= self.threshold(modality) - ROUNDING

    def threshold(self, modality: str) -> float:
        """Return the cosine from which two vectors of `modality` are near-duplicates; warn once if they are narrow."""
        if isinstance(self.above, int | float):
            return self.above
        if modality not in self._measured:
            usual = usual_cosine(self._spaced(modality, MOST))
            narrowness = min(1.0, max(1.0 - usual, 0.0) / APART)
            self._measured[modality] = 1 - (1 - DUPLICATE) * narrowness
            if usual >= DUPLICATE:
                _warn(
                    f"the encoder {self._encoder!r} is narrow here: two {modality}s of the datastore usually have a "
                    f"cosine of {usual:.4f}; near-duplicates are those above {self._measured[modality]:.6f}, not "
                    f"{DUPLICATE}"
                )
        return self._measured[modality]

    def distinct(self, context: Context, images: Mapping[str, Vectors], on_duplicate: OnDuplicate) -> Context:
        """Return the neighbors without those that have the text and nearly the image of a nearer one.

        Args:
          images: the vectors of the images of neighbors with the text of another one, by id.
        """
        of_text: dict[str, list[Neighbor]] = {}
        distinct: list[Neighbor] = []
        for neighbor in context:
            image = images.get(neighbor.sample.id)
            nearer = of_text.setdefault(neighbor.sample.text, [])
            same = (other for other in nearer if self.same(image, images.get(other.sample.id), "image"))
            if twin := next(same, None):
                on_duplicate(neighbor, twin)
            else:
                nearer.append(neighbor)
                distinct.append(neighbor)
        return tuple(distinct)


def usual_cosine(some: Vectors) -> float:
    """Return the middle one of the cosines of float32[N, D] with one another; 0 where there are too few to tell."""
    if len(some) < FEWEST:
        return 0.0
    return float(np.median((some @ some.T)[np.triu_indices(len(some), 1)]))


@cache
def _warn(text: str) -> None:
    """Log the warning once, however many retrievers meet it."""
    _logger.warning(text)
