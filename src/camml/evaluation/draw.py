"""Some of a task's questions, where all would take too long."""

import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate

from camml.evaluation.task import Item


def drawn(items: Sequence[Item], limit: int | None, seed: int | None = None, *, whole: bool = False) -> list[Item]:
    """Return at most `limit` items, in order: the first, or with a `seed` some from all clusters alike.

    A further round takes a further question from each cluster, so that a smaller draw is part of a larger one.

    Args:
      whole: a cluster is taken as a whole or not at all; the first one also where it has more than `limit` items.
    """
    if limit is None or limit >= len(items):
        return list(items)
    if seed is None and not whole:
        return list(items[:limit])
    rows: dict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        rows[item.cluster].append(row)
    rank = {cluster: random.Random(f"{seed} {cluster}").random() for cluster in rows}
    if whole:
        clusters = list(rows) if seed is None else sorted(rows, key=lambda cluster: rank[cluster])
        totals = accumulate(len(rows[cluster]) for cluster in clusters)
        fitting = [cluster for cluster, total in zip(clusters, totals, strict=True) if total <= limit] or clusters[:1]
        return [item for item in items if item.cluster in set(fitting)]
    turns = [
        (turn, rank[cluster], row)
        for cluster, its in rows.items()
        for turn, row in enumerate(random.Random(f"{seed} {cluster} order").sample(its, len(its)))
    ]
    chosen = {row for _, _, row in sorted(turns)[:limit]}
    return [item for row, item in enumerate(items) if row in chosen]
