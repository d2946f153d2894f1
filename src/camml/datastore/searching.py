"""Searches of a datastore as it was at one moment: by vectors, and by the numbers and codes that a question names."""

from collections.abc import Collection

import numpy as np

from camml.datastore.snapshot import Snapshot
from camml.datastore.table import Table
from camml.stores import Keys, Vectors, keys_of
from camml.types import Context, Neighbor, Where
from camml.words import rarity

PASSED_OVER = 300_000
"""Samples at most of a datastore whose texts are looked through for each question: docs/retrieval.md has the time."""
MOST = 8
"""Identifiers of a question that are looked for, the longest first."""


def nearest(snapshot: Snapshot, vectors: Vectors, modality: str, k: int, allowed: Keys | None) -> list[Context]:
    """Return the k samples nearest to each of float32[N, D] among those of some keys, or among all."""
    index = snapshot.indexes[modality]
    scores, keys = index.search(vectors, min(k, len(index)), allowed)
    return [
        tuple(
            Neighbor(snapshot.table.sample(key), float(score))
            for key, score in zip(its_keys[its_keys >= 0].tolist(), its_scores, strict=False)
        )
        for its_scores, its_keys in zip(scores, keys, strict=True)
    ]


def search_identifiers(
    snapshot: Snapshot, identifiers: Collection[str], vector: Vectors, k: int, where: Where | None
) -> tuple[dict[str, float], Context]:
    """Return what `Datastore.search_identifiers` says."""
    table = snapshot.table
    rarities, keys = _look_up(table, identifiers)
    keys = keys if where is None or not len(keys) else np.intersect1d(keys, table.chosen(where))
    return rarities, nearest(snapshot, vector[None], "text", k, keys)[0] if len(keys) else ()


def _look_up(table: Table, identifiers: Collection[str]) -> tuple[dict[str, float], Keys]:
    """Return how rare each identifier is that stands in a text, and the keys of the samples that hold most of them.

    Of a sample the rarities of those that it holds are added up. In a datastore of more than `PASSED_OVER` samples
    nothing is looked up, and all identifiers count as rare.
    """
    longest = sorted(identifiers, key=lambda identifier: (-len(identifier), identifier))[:MOST]
    if len(table) > PASSED_OVER:
        return dict.fromkeys(longest, 1.0), keys_of(())
    holders = {identifier: table.keys_with_identifier(identifier) for identifier in longest}
    rarities = {name: rarity(len(keys), len(table)) for name, keys in holders.items() if len(keys)}
    if not rarities:
        return {}, keys_of(())
    every = np.concatenate([holders[name] for name in rarities])
    weights = np.concatenate([np.full(len(holders[name]), weight) for name, weight in rarities.items()])
    keys, places = np.unique(every, return_inverse=True)
    sums = np.bincount(places, weights)
    return rarities, keys[np.isclose(sums, sums.max())]
