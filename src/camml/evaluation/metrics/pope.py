"""POPE: does the model say that an object is there?"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from camml.evaluation.task import Item, Measured, Settings, Weights

_NO = frozenset({"No", "not", "no"})


def says_yes(answer: str) -> bool:
    """Return True if the first sentence holds none of the words "No", "no", "not".

    Source: LLaVA's eval_pope.py (commas dropped, words split at single spaces, so "No\\n" is not "No").
    """
    words = answer.split(".")[0].replace(",", "").split(" ")
    return _NO.isdisjoint(words)


def rates(
    predicted_yes: NDArray[np.bool_],
    true: NDArray[np.bool_],
    weights: Weights,
    answered: NDArray[np.bool_] | bool = True,
) -> dict[str, float]:
    """Return accuracy, precision, recall, F1 and share of yes, each in [0, 1]; "yes" is the positive class.

    Who did not answer said neither yes nor no, and is right in neither case.

    A ratio with nothing below the line is 0; the official script fails there.
    """
    predicted_yes = predicted_yes & answered
    hits, both = (weights * (predicted_yes & true)).sum(), weights.sum()
    yes, positive = (weights * predicted_yes).sum(), (weights * true).sum()
    right = (weights * (answered & (predicted_yes == true))).sum()
    return {
        "accuracy": _ratio(right, both),
        "precision": _ratio(hits, yes),
        "recall": _ratio(hits, positive),
        "f1": _ratio(2 * hits, yes + positive),
        "yes_ratio": _ratio(yes, both),
    }


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below else 0.0


def measure(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
    """Return rates per split and their means, in [0, 1]; the headline is the mean F1 of the splits.

    Items' truth is `{"split": name, "present": bool}`.
    """
    predicted_yes = np.array([says_yes(answers[item.id]) for item in items], dtype=bool)
    true = np.array([item.truth["present"] for item in items], dtype=bool)
    answered = np.array([item.id not in settings.unanswered for item in items], dtype=bool)
    split = np.array([item.truth["split"] for item in items], dtype=object)
    splits = sorted(set(split))
    masks = [np.asarray(split == name) for name in splits]

    def table(weights: Weights) -> list[dict[str, float]]:
        return [rates(predicted_yes[mask], true[mask], weights[mask], answered[mask]) for mask in masks]

    def mean_f1(weights: Weights) -> float:
        """Return the mean over the splits in which a "yes" was drawn, said or true; of the others F1 is not defined."""
        drawn = [mask for mask in masks if (weights[mask] * ((predicted_yes & answered) | true)[mask]).any()]
        values = [rates(predicted_yes[mask], true[mask], weights[mask], answered[mask])["f1"] for mask in drawn]
        return float(np.mean(values)) if values else np.nan

    rows = table(np.ones(len(items)))
    kinds = rows[0] if rows else {}
    values = {f"{kind}/{name}": row[kind] for kind in kinds for name, row in zip(splits, rows, strict=True)}
    values |= {f"{kind}/mean": float(np.mean([row[kind] for row in rows])) for kind in kinds}
    right = {item.id: float(hit) for item, hit in zip(items, answered & (predicted_yes == true), strict=True)}
    return Measured(values, right, mean_f1, [item.cluster for item in items], scale=1.0)
