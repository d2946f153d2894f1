"""The order of the samples that were found first, by parts: patches of pictures, passages of texts."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from camml.encoders import PatchEncoder, Patches, Vectors
from camml.ranking import by_likeness
from camml.turning import is_undecided
from camml.types import Context
from camml.words import share_named

Look = tuple[Vectors, Patches]
"""A picture as it is compared with others: its vector, float32[D], and its patches."""

PICTURES = 10
"""Samples found by pictures that are compared with the question's patch by patch: docs/retrieval.md."""
TEXTS = 20
"""Samples found by words that are compared with the question passage by passage: docs/retrieval.md."""
IDENTIFIER_BONUS = 0.2
"""Likeness that a text gains which alone holds the numbers and codes of a question: docs/retrieval.md."""


def places_found_by(context: Context, source: str, target: str, most: int) -> list[int]:
    """Return the places in a context of the first samples that one search found."""
    found_by = f"{source}-{target}"
    return [place for place, neighbor in enumerate(context) if neighbor.found_by == found_by][:most]


def by_patches(
    context: Context,
    places: Sequence[int],
    encoder: PatchEncoder,
    asked: Look,
    stored: Mapping[str, Look],
    views: Callable[[], Sequence[Look]] = tuple,
) -> Context:
    """Return a context whose neighbors at some places are ordered by how like their pictures are to the query's.

    Args:
      asked: the query's picture.
      stored: the neighbors' pictures by their ids; nothing of one that is gone.
      views: called where that hardly tells two pictures apart, for the query's picture turned; the most similar view
        counts.
    """
    names = {place: context[place].sample.id for place in places}
    known = {place: stored[name] for place, name in names.items() if name in stored}
    if not known:
        return context
    vectors = np.stack([vector for vector, _ in known.values()])
    others = [patches for _, patches in known.values()]
    likeness = encoder.likeness(*asked, vectors, others)
    if is_undecided(likeness):
        likeness = np.max([likeness, *(encoder.likeness(*view, vectors, others) for view in views())], axis=0)
    by_place = dict(zip(known, map(float, likeness), strict=True))
    # nothing better is known of pictures that are gone
    change = float(np.median([by_place[place] - context[place].score for place in known]))
    return _ordered(context, [by_place.get(place, context[place].score + change) for place in places], places)


def with_named(context: Context, places: Sequence[int], named: Context) -> tuple[Context, list[int]]:
    """Return a context with the samples that hold a question's numbers and codes behind the last of some places.

    Args:
      named: such samples, of which those that are there already, found by whatever, are passed over.

    Returns:
      The context, and the places with those of the samples that came in.
    """
    end = places[-1] + 1
    there = {neighbor.sample.id for neighbor in context[:end]}
    more = [neighbor for neighbor in named if neighbor.sample.id not in there]
    new = {neighbor.sample.id for neighbor in more}
    behind = [neighbor for neighbor in context[end:] if neighbor.sample.id not in new]
    return (*context[:end], *more, *behind), [*places, *range(end, end + len(more))]


def by_passages(
    context: Context,
    places: Sequence[int],
    share: float,
    asked: Vectors,
    stored: Mapping[str, Vectors],
    rarities: Mapping[str, float],
) -> Context:
    """Return a context whose neighbors at some places are ordered by their texts' nearest passages, too, and by the
    numbers and codes of the question that they hold.

    Args:
      share: of the nearest passage's cosine in the likeness; that of the whole text has the rest.
      asked: float32[D], of the query's words.
      stored: float32[P, D], of the passages of the neighbors' texts by their ids; nothing of a text of one passage.
      rarities: of the numbers and codes of the question that stand in any text, as `words.rarity` has them.
    """

    def likeness(place: int) -> float:
        neighbor, parts = context[place], stored.get(context[place].sample.id)
        whole = neighbor.score
        mixed = whole if parts is None else (1 - share) * whole + share * float((parts @ asked).max())
        return mixed + (IDENTIFIER_BONUS * share_named(neighbor.sample.text, rarities) if rarities else 0.0)

    return _ordered(context, [likeness(place) for place in places], places)


def _ordered(context: Context, likeness: Sequence[float], places: Sequence[int]) -> Context:
    """Return a context with the neighbors at some places in the order of their likeness; others keep their places."""
    ordered = list(context)
    for place, neighbor in zip(places, by_likeness([context[place] for place in places], likeness), strict=True):
        ordered[place] = neighbor
    return tuple(ordered)
