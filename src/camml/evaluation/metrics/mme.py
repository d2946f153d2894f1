"""MME: yes/no questions in pairs; a subtask's score is accuracy plus accuracy of whole pairs, at most 200."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from camml.evaluation.task import Item, Measured, Settings, Weights

PERCEPTION = ("existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR")
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")


def yes_or_no(answer: str) -> str:
    """Return what the first four letters say: "yes", "no" or "other".

    Source: parse_pred_ans of MME's eval_tool/calculation.py, which reads answers in lower case.
    """
    start = answer.lower()[:4]
    if "yes" in start:
        return "yes"
    return "no" if "no" in start else "other"


def subtask_points(
    pairs: Sequence[Sequence[bool]], sizes: Sequence[int] | None = None, weights: Weights | None = None
) -> tuple[float, float]:
    """Return (accuracy, accuracy of whole images) in percent, from the hits of each image; NaN for what has none.

    Args:
      sizes: how many questions there are about each image; an image with fewer hits is no whole one. None: all are.
      weights: how often each image counts; None for once.
    """
    counts = np.ones(len(pairs)) if weights is None else weights
    complete = counts * (
        True if sizes is None else [len(pair) >= size for pair, size in zip(pairs, sizes, strict=True)]
    )
    questions = (counts * [len(pair) for pair in pairs]).sum()
    hits = (counts * [sum(pair) for pair in pairs]).sum()
    whole = (complete * [all(pair) for pair in pairs]).sum()
    return (
        float(100 * hits / questions) if questions else np.nan,
        float(100 * whole / complete.sum()) if complete.sum() else np.nan,
    )


def measure(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
    """Return perception and cognition (sums over subtasks), score and accuracies of each subtask, in MME's points.

    Items' truth is `{"subtask": name, "image": name, "answer": "Yes" | "No", "questions"?: number}`; a repeated
    question counts once. An image of which fewer than its number of questions are here counts for the accuracy alone.
    """
    right = {item.id: yes_or_no(answers[item.id]) == item.truth["answer"].strip().lower() for item in items}
    pairs: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    sizes: dict[str, list[int]] = defaultdict(list)
    first: dict[str, list[int]] = defaultdict(list)  # where the weight of each image stands
    asked = set()
    for place, item in enumerate(items):
        subtask, image = item.truth["subtask"], item.truth["image"]
        if (subtask, image, item.text) in asked:
            continue
        asked.add((subtask, image, item.text))
        if image not in pairs[subtask]:
            first[subtask].append(place)
            sizes[subtask].append(item.truth.get("questions", 0))
        pairs[subtask][image].append(right[item.id])
    tables = {name: (list(its.values()), sizes[name]) for name, its in pairs.items()}
    points = {name: subtask_points(*table) for name, table in tables.items()}
    unpaired = [name for name, (_, whole) in points.items() if np.isnan(whole)]

    def perception(weights: Weights) -> float:
        """Return the sum over subtasks; those of which nothing was drawn count as the mean of the others."""
        present = [name for name in PERCEPTION if name in tables]
        drawn = [_sum(subtask_points(*tables[name], weights[first[name]]), name in unpaired) for name in present]
        finite = [value for value in drawn if not np.isnan(value)]
        return sum(finite) * (len(drawn) / len(finite)) if finite else np.nan

    values: dict[str, float] = {"perception": 0.0, "cognition": 0.0}
    for kind, members in (("perception", PERCEPTION), ("cognition", COGNITION)):
        for name in (name for name in members if name in pairs):
            accuracy, whole = (0.0 if np.isnan(value) else value for value in points[name])
            values[kind] += accuracy + whole
            values |= {f"score/{name}": accuracy + whole, f"accuracy/{name}": accuracy, f"pair_accuracy/{name}": whole}
    per_item = {key: float(hit) for key, hit in right.items()}
    notes = _partial([len(pair) < size for its in tables.values() for pair, size in zip(*its, strict=True)], unpaired)
    return Measured(values, per_item, perception, [item.cluster for item in items], notes=notes)


def _sum(points: tuple[float, float], unpaired: bool) -> float:
    """Return the points of a subtask; one that is `unpaired` has no whole images at all, and no points for them."""
    return points[0] if unpaired else sum(points)


def _partial(lacking: Sequence[bool], unpaired: Sequence[str]) -> list[str]:
    """Return a note where some images lack the answer to one of their questions."""
    if not any(lacking):
        return []
    note = (
        f"{sum(lacking)} of {len(lacking)} pictures lack the answer to one of their questions; they count for "
        "accuracy, not for that of pairs"
    )
    return [note + (f", which is 0 in {', '.join(unpaired)} for want of whole pairs" if unpaired else "")]
