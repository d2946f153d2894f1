"""Merging neighbors found in several ways into one list.

Cosines of several spaces do not compare: 0.5 is little between two pictures and much between words and a picture, and
to a question of everyday words all texts are near. How far a cosine stands out of the best that is usual for the query
in that space does compare: benchmarks/retrieval.py holds it against other ways.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import merge as in_order

import numpy as np

from camml.errors import OptionError
from camml.likeness import Vectors
from camml.types import Context, Neighbor, Sample

BACKGROUND = 512
"""Vectors of the datastore with which is measured what is usual for a query."""
SHARE, FEWEST = 0.02, 8
"""The best that is usual is below this share of them, and below so many: a few right samples do not raise it."""
SECOND_SEARCH_MARGIN = 0.02
"""The margin by which a neighbor must stand out more if it was not found in the first of several searches."""
RANK_OFFSET = 60
"""Source: Cormack, Clarke and Buettcher 2009, "Reciprocal Rank Fusion outperforms Condorcet", section 2."""


def usual(vector: Vectors, background: Vectors) -> float:
    """Return the best cosine that the query float32[D] usually has with samples that it has nothing to do with.

    Args:
      background: float32[N, D], some vectors of the datastore that stand for all; at least one.
    """
    cosines = np.sort(background @ vector)[::-1]
    return float(cosines[min(max(FEWEST, int(SHARE * len(cosines))), len(cosines) - 1)])


def merge(lists: Sequence[Context], levels: Sequence[float]) -> Context:
    """Merge the lists by how far each score exceeds its list's level; lists after the first need a margin more.

    A neighbor keeps the score of the list where it stands out most. The first k of each list suffice for k results;
    ties keep list order.

    Args:
      levels: for each list the best cosine that is usual in it.
    """
    bars = [level + (SECOND_SEARCH_MARGIN if place else 0.0) for place, level in enumerate(levels)]
    ranked = [
        [(bar - neighbor.score, neighbor) for neighbor in context] for context, bar in zip(lists, bars, strict=True)
    ]
    first_of_id: dict[str, Neighbor] = {}
    for _, neighbor in in_order(*ranked, key=lambda entry: entry[0]):
        first_of_id.setdefault(neighbor.sample.id, neighbor)
    return tuple(first_of_id.values())


def weigh(
    lists: Sequence[Context], levels: Sequence[float], cosines: Sequence[Mapping[str, float]], weights: Sequence[float]
) -> Context:
    """Return the neighbors of all lists by the weighted sum of how far they stand out in each.

    A sample that has no vector in one of the searches neither gains nor loses by it. Each keeps the score that it has
    where it stands out most.

    Args:
      levels: for each list the best that is usual in it.
      cosines: for each list those of all samples in any of the lists, by id.
      weights: what each list counts.
    """
    every = {neighbor.sample.id: neighbor for context in reversed(lists) for neighbor in context}
    sums: dict[str, float] = dict.fromkeys(every, 0.0)
    most: dict[str, float] = {}
    for context, level, known, weight in zip(lists, levels, cosines, weights, strict=True):
        mine = {neighbor.sample.id: neighbor for neighbor in context}
        for name in every:
            part = weight * (known[name] - level) if name in known else 0.0
            sums[name] += part
            if name in mine and part > most.get(name, -math.inf):
                most[name], every[name] = part, mine[name]
    return tuple(sorted(every.values(), key=lambda neighbor: -sums[neighbor.sample.id]))


def fuse(lists: Sequence[Context]) -> Context:
    """Return the neighbors of all lists by a new score, the sum of 1 / (RANK_OFFSET + rank); rank counts from 1."""
    scores: dict[str, float] = {}
    samples: dict[str, Sample] = {}
    for context in lists:
        for rank, neighbor in enumerate(context, start=1):
            samples.setdefault(neighbor.sample.id, neighbor.sample)
            scores[neighbor.sample.id] = scores.get(neighbor.sample.id, 0.0) + 1 / (RANK_OFFSET + rank)
    order = sorted(scores, key=lambda name: -scores[name])  # equal ones stay in the order of the lists
    return tuple(Neighbor(samples[name], scores[name]) for name in order)


def by_likeness(context: Sequence[Neighbor], likeness: Sequence[float]) -> Context:
    """Return neighbors with their likeness to the query, those first that are most alike.

    Example:
      >>> whole = [Neighbor(Sample("a", ""), 0.8), Neighbor(Sample("b", ""), 0.7)]
      >>> [(neighbor.sample.id, neighbor.likeness) for neighbor in by_likeness(whole, [0.5, 0.9])]
      [('b', 0.9), ('a', 0.5)]
    """
    order = sorted(range(len(context)), key=lambda place: -likeness[place])  # equal ones keep their order
    return tuple(replace(context[place], likeness=likeness[place]) for place in order)


def check_weights(weights: Mapping[str, float] | None) -> None:
    """Raise an OptionError unless these are valid weights of an image and a text.

    Example:
      >>> check_weights({"image": 2.0, "text": 1.0})
    """
    if weights is None:
        return
    sizes = weights.values()
    if weights.keys() <= {"image", "text"} and any(sizes) and all(0 <= size < math.inf for size in sizes):
        return
    raise OptionError(f"weights are {dict(weights)}; give image, text or both, such as image=2 and text=1")


def check_min_score(min_score: float | None) -> None:
    """Raise an OptionError unless the score can be a cosine.

    Example:
      >>> check_min_score(0.5)
    """
    if min_score is not None and not -1 <= min_score <= 1:
        raise OptionError(f"min_score is {min_score:g}; scores are cosines, so give -1 to 1")
