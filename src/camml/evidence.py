"""Samples as a model can look at them: those that are near enough, with pictures that can be opened."""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from camml.errors import ImageError
from camml.images import check_image
from camml.types import Context, Neighbor

REMEMBERED = 4096
"""Pictures whose state is known until they change."""

BY_PICTURE = "image-image"
"""The search that compares the question's picture with those of samples."""

_logger = logging.getLogger("camml")


def usable(context: Context, report: Callable[[str], None] = _logger.warning) -> tuple[Context, tuple[str, ...]]:
    """Return the samples without pictures that cannot be used, and notes that say which these are.

    A sample keeps its text. The notes hold no path, so that they can be shown to anybody.

    Args:
      context: the samples in their order.
      report: called with each reason, which names the file.
    """
    neighbors: list[Neighbor] = []
    notes: list[str] = []
    for neighbor in context:
        sample = neighbor.sample
        problem = None if sample.image is None else _problem_of(sample.image)
        if problem is not None:
            gone, reason = problem
            state = "is not there any more" if gone else "cannot be used"
            notes.append(f"the picture of the sample {sample.id!r} {state}; its text was read alone")
            report(f"sample {sample.id!r}: {reason}")
            neighbor = replace(neighbor, sample=replace(sample, image=None))
        neighbors.append(neighbor)
    return tuple(neighbors), tuple(notes)


def near(context: Context, margin: float | None) -> Context:
    """Return the samples without those that look far less like the question's picture than the most similar one.

    A picture shows one thing: where a sample shows it too, its cosine is well above those of other things, and their
    texts could only be mixed up with its own. Samples found by words stay, as words may ask for several things.

    Args:
      margin: by how much the likeness, or the cosine where patches were not compared, may be below the highest of
        those found by picture; None keeps all samples.

    Example:
      >>> from camml.types import Sample
      >>> scores = {"a": 0.9, "b": 0.85, "c": 0.6}
      >>> context = tuple(Neighbor(Sample(name, ""), score, found_by="image-image") for name, score in scores.items())
      >>> [neighbor.sample.id for neighbor in near(context, 0.1)]
      ['a', 'b']
    """
    if margin is None:
        return context
    by_picture = [neighbor for neighbor in context if neighbor.found_by == BY_PICTURE]
    compared = any(neighbor.likeness is not None for neighbor in by_picture)

    def alike(neighbor: Neighbor) -> float:
        if not compared:
            return neighbor.score
        return -math.inf if neighbor.likeness is None else neighbor.likeness  # only the nearest are compared by patches

    least = max(map(alike, by_picture), default=-math.inf) - margin
    return tuple(neighbor for neighbor in context if neighbor.found_by != BY_PICTURE or alike(neighbor) >= least)


def without_pictures(context: Context) -> tuple[Context, tuple[str, ...]]:
    """Return the samples without any picture, and a note that says so: for when one broke after it was looked at."""
    texts = tuple(replace(neighbor, sample=replace(neighbor.sample, image=None)) for neighbor in context)
    return texts, ("the pictures of the samples cannot be used; their texts were read alone",)


def _problem_of(path: Path) -> tuple[bool, str] | None:
    """Return what is wrong with a picture, if anything: whether it is gone, and why it cannot be used."""
    try:
        state = path.stat()
    except (OSError, ValueError) as error:
        return True, f"{path}: {getattr(error, 'strerror', None) or error}"
    reason = _damage(path, state.st_mtime_ns, state.st_size, state.st_ino)
    return None if reason is None else (False, reason)


@lru_cache(REMEMBERED)
def _damage(path: Path, changed: int, size: int, inode: int) -> str | None:
    """Return why a file is no picture that can be used, if so; the other arguments tell its versions apart."""
    try:
        check_image(path)
    except ImageError as error:
        return str(error)
    return None
