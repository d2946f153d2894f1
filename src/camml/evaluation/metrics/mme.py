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


def subtask_points(pairs: Sequence[Sequence[bool]], weights: Weights | None = None) -> tuple[float, float]:
    """Return (accuracy, accuracy of whole images) in percent, from the hits of each image; `weights` counts images."""
    counts = np.ones(len(pairs)) if weights is None else weights
    questions = (counts * [len(pair) for pair in pairs]).sum()
    if not questions:
        return 0.0, 0.0
    hits = (counts * [sum(pair) for pair in pairs]).sum()
    whole = (counts * [all(pair) for pair in pairs]).sum()
    return float(100 * hits / questions), float(100 * whole / counts.sum())


def measure(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
    """Return perception and cognition (sums over subtasks), score and accuracies of each subtask, in MME's points.

    Items' truth is `{"subtask": name, "image": name, "answer": "Yes" | "No"}`; a repeated question counts once.
    """
    right = {item.id: yes_or_no(answers[item.id]) == item.truth["answer"].strip().lower() for item in items}
    pairs: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    first: dict[str, list[int]] = defaultdict(list)  # where the weight of each image stands
    asked = set()
    for place, item in enumerate(items):
        subtask, image = item.truth["subtask"], item.truth["image"]
        if (subtask, image, item.text) in asked:
            continue
        asked.add((subtask, image, item.text))
        if image not in pairs[subtask]:
            first[subtask].append(place)
        pairs[subtask][image].append(right[item.id])

    def perception(weights: Weights) -> float:
        present = (name for name in PERCEPTION if name in pairs)
        return sum(sum(subtask_points(list(pairs[name].values()), weights[first[name]])) for name in present)

    values: dict[str, float] = {"perception": 0.0, "cognition": 0.0}
    for kind, members in (("perception", PERCEPTION), ("cognition", COGNITION)):
        for name in (name for name in members if name in pairs):
            accuracy, whole = subtask_points(list(pairs[name].values()))
            values[kind] += accuracy + whole
            values |= {f"score/{name}": accuracy + whole, f"accuracy/{name}": accuracy, f"pair_accuracy/{name}": whole}
    per_item = {key: float(hit) for key, hit in right.items()}
    return Measured(values, per_item, perception, [item.cluster for item in items])
