"""Risk and coverage: how often answers are wrong where only questions with near samples are answered."""

from collections.abc import Sequence

from camml.evaluation.folder import Record

COVERAGES = (100, 90, 75, 50, 25)
"""Percentages of the questions that are answered, those with the nearest samples first."""


def risk_coverage(records: Sequence[Record]) -> dict[str, float]:
    """Return the risk at some coverages, and `aurc`, the mean risk over all coverages; empty where it is not known.

    Questions are put into order by the score of the first sample that was found. The risk of a share of them is 1 minus
    the mean score of its answers; where that score tells when to refuse, it falls with the coverage. Scores of pictures
    and of texts do not compare, so this says most where all samples were found in one way.

    Args:
      records: of all questions, each with its own `score` between 0 and 1.

    Source: El-Yaniv and Wiener 2010, "On the Foundations of Noise-free Selective Classification", for the curve; that
    ties share their mean is ours.
    """
    rows = [(record["retrieved"][0]["score"], record["score"]) for record in records if record.get("retrieved")]
    known = [(near, score) for near, score in rows if near is not None and isinstance(score, int | float)]
    if len(known) < len(records) or not known or not all(0 <= score <= 1 for _, score in known):
        return {}
    groups: dict[float, list[float]] = {}
    for near, score in known:
        groups.setdefault(near, []).append(1 - score)
    means = {near: sum(losses) / len(losses) for near, losses in groups.items()}
    losses = [means[near] for near, _ in sorted(known, key=lambda row: -row[0])]
    risks, total = [], 0.0
    for count, loss in enumerate(losses, 1):
        total += loss
        risks.append(total / count)
    at = {f"risk@{share}": risks[max(1, round(len(risks) * share / 100)) - 1] for share in COVERAGES}
    return {**at, "aurc": sum(risks) / len(risks)}
