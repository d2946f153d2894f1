"""Cost and retrieval quality of a run: tokens, seconds, hits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from camml.evaluation.folder import Record
from camml.evaluation.statistics import cluster_means
from camml.evaluation.task import Item, mean

DEPTHS = (1, 3, 5, 8)
"""The numbers of nearest samples among which a right one is looked for."""


@dataclass(slots=True)
class Stopwatch:
    """Seconds of work, and how many questions they were spent on; what came from a cache took none.

    Attributes:
      retrieved, retrieving: questions that samples were searched for, and the seconds of it.
      answered, answering: questions that a model answered, and the seconds of it.
      repeated: questions that took the answer which another one, the same but for its id, got in this run.
    """

    retrieved: int = 0
    retrieving: float = 0.0
    answered: int = 0
    answering: float = 0.0
    repeated: int = 0


def measures(
    items: Sequence[Item], records: Sequence[Record], watches: Sequence[Mapping[str, float]], device: str | None
) -> dict[str, Any]:
    """Return the contents of `measures.json` of a run: nulls where nothing was measured.

    `tokens` are means over the questions of what the language model read and wrote; `seconds` are means over the
    questions that were worked on, a batch at a time; `retrieval` says for which share of the clusters a right sample
    was among the first k that were found; `unanswered` counts questions without an answer by reason.
    """
    sums = {name: sum(watch.get(name, 0) for watch in watches) for name in Stopwatch.__slots__}
    return {
        "questions": len(records),
        "tokens": {
            "prompt": mean([record["prompt_tokens"] for record in records]),
            "answer": mean([record["new_tokens"] for record in records]),
        },
        "seconds": {
            "retrieve": sums["retrieving"] / sums["retrieved"] if sums["retrieved"] else None,
            "answer": sums["answering"] / sums["answered"] if sums["answered"] else None,
            "questions_answered": int(sums["answered"]),
            "questions_repeated": int(sums["repeated"]),
            "device": device,
        },
        "retrieval": hits(items, records),
        "unanswered": dict(Counter(record["unanswered"] for record in records if record.get("unanswered"))),
    }


def hits(items: Sequence[Item], records: Sequence[Record]) -> dict[str, float]:
    """Return `hit@k` in percent, the mean over clusters, for every k that was retrieved; empty where unknown.

    A log says of a found sample whether it is `right` only where the task can tell.
    """
    contexts = [record["retrieved"] for record in records]
    if not all(retrieved and all("right" in neighbor for neighbor in retrieved) for retrieved in contexts):
        return {}
    deepest = min((len(retrieved) for retrieved in contexts), default=0)
    clusters = [item.cluster for item in items]
    shares = {}
    for depth in (depth for depth in DEPTHS if depth <= deepest):
        right = [float(any(neighbor["right"] for neighbor in retrieved[:depth])) for retrieved in contexts]
        shares[f"hit@{depth}"] = 100 * mean(cluster_means(right, clusters))
    return shares
