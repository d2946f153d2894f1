"""MM-Vet: open answers graded by a judge, summed up per capability and per combination of capabilities."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from camml.errors import OptionError, SampleError
from camml.evaluation.files import listed, read_json
from camml.evaluation.task import Item, Measured, Settings

_MEME = (
    "Can you explain this meme? | This meme is poking fun at the fact that the names of the countries Iceland and"
    " Greenland are misleading. Despite its name, Iceland is known for its beautiful green landscapes, while "
    "Greenland is mostly covered in ice and snow. The meme is saying that the person has trust issues because the"
    " names of these countries do not accurately represent their landscapes. | "
)
_INSTRUCTION = (
    "Compare the ground truth and prediction from AI models, to give a correctness score for the prediction. "
    "<AND> in the ground truth means it is totally right only when all elements in the ground truth are present "
    "in the prediction, and <OR> means it is totally right when any one element in the ground truth is present in"
    " the prediction. The correctness score is 0.0 (totally wrong), 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, "
    "or 1.0 (totally right). Just complete the last space of the correctness score."
)
_READ_LITERALLY = (
    "The meme talks about Iceland and Greenland. It's pointing out that despite their names, Iceland is not very "
    "icy and Greenland isn't very green. | 0.4"
)
_READ_RIGHTLY = (
    "The meme is using humor to point out the misleading nature of Iceland's and Greenland's names. Iceland, "
    "despite its name, has lush green landscapes while Greenland is mostly covered in ice and snow. The text "
    "'This is why I have trust issues' is a playful way to suggest that these contradictions can lead to distrust"
    " or confusion. The humor in this meme is derived from the unexpected contrast between the names of the "
    "countries and their actual physical characteristics. | 1.0"
)
_EQUATION = (
    ("x = 3", "0.0"),
    ("x = -1", "0.5"),
    ("x = -5", "0.5"),
    ("x = -5 or 5", "0.5"),
    ("x = -1 or x = -5", "1.0"),
)
_ROWS = (
    "Question | Ground truth | Prediction | Correctness",
    "--- | --- | --- | ---",
    *(f"What is x in the equation? | -1 <AND> -5 | {said} | {grade}" for said, grade in _EQUATION),
    _MEME + _READ_LITERALLY,
    _MEME + _READ_RIGHTLY,
)


HASH = "answer_sha256"
"""The key under which a grade keeps the hash of its answer; the official grader keeps none."""


def judge_prompt(question: str, truth: str, answer: str) -> str:
    """Return the judge's prompt, word for word that of the benchmark, so that grades compare.

    Source: arXiv 2308.02490; mm-vet_evaluator.py of github.com/yuweihao/MM-Vet.
    """
    spaced = truth.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    return "\n".join((_INSTRUCTION, "", *_ROWS, "", " | ".join((question, spaced, answer, ""))))


def read_grade(reply: str) -> float | None:
    """Read the grade in [0, 1] that a judge's reply starts with, or return None."""
    try:
        grade = float(reply.strip().split(" ")[0].strip())
    except ValueError:
        return None
    return grade if 0 <= grade <= 1 else None


def read_grades(path: Path) -> dict[str, list[float]]:
    """Map ids to grades, one for each run of the judge, from the grade file `{id: {"score": [...], ...}}`.

    Raises:
      SampleError: not such a file, or a grade outside [0, 1].
    """
    entries = read_json(path)
    if not isinstance(entries, dict) or not entries:
        raise SampleError(f"{path} should be a JSON object from question id to grades")
    return {key: _scores(entry, f"{path}: {key}") for key, entry in entries.items()}


def answer_hash(text: str) -> str:
    """Return what grades keep of the answer that they grade."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _fitting(items: Sequence[Item], answers: Mapping[str, str], path: Path) -> list[str]:
    """Return a note where the grades do not say which answers they grade.

    Raises:
      SampleError: they grade other answers.
    """
    entries = read_json(path)
    told = {grade_id(item): entry.get(HASH) if isinstance(entry := entries.get(grade_id(item)), dict) else None
            for item in items}  # fmt: skip
    given = {grade_id(item): answer_hash(answers[item.id]) for item in items if told[grade_id(item)]}
    other = [key for key, digest in given.items() if told[key] != digest]
    if other:
        raise SampleError(
            f"{path} grades other answers than these ({len(other)} of {len(items)} differ: {listed(other)}); grade "
            "these with `camml eval judge`"
        )
    return [] if all(told.values()) else [f"{path} does not say which answers it grades; they are taken to be these"]


def _scores(entry: Any, place: str) -> list[float]:
    scores = entry.get("score") if isinstance(entry, dict) else entry
    scores = scores if isinstance(scores, list) else [scores]
    if not scores or not all(isinstance(score, int | float) and 0 <= score <= 1 for score in scores):
        raise SampleError(f"{place} should have grades from 0 to 1 under 'score'")
    return [float(score) for score in scores]


def measure(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
    """Return mean grades in percent: total, by capability and combination; means and spread over the judge's runs.

    Items' truth is the entry of mm-vet.json; its id there is `v1_` and the question id. Capabilities come from the most
    frequent on, as in the official table.

    Raises:
      OptionError: no grades given.
      SampleError: grades missing, or of other answers.
    """
    if settings.grades is None:
        raise OptionError(
            "MM-Vet is graded by a judge: give its grades, or write the submission for the official grader"
        )
    grades = read_grades(settings.grades)
    runs = min((len(its) for its in grades.values()), default=1)
    grades |= {grade_id(item): [0.0] * runs for item in items if item.id in settings.unanswered}
    lacking = [grade_id(item) for item in items if grade_id(item) not in grades]
    if lacking:
        raise SampleError(f"{settings.grades} has no grades for {len(lacking)} questions: {listed(lacking)}")
    answered = [item for item in items if item.id not in settings.unanswered]
    notes = _fitting(answered, answers, settings.grades)
    numbers = [len(grades[grade_id(item)]) for item in answered]
    runs = min((len(grades[grade_id(item)]) for item in items), default=0)
    if numbers and max(numbers) > runs:
        notes.append(
            f"the answers have from {runs} to {max(numbers)} grades each; the first {runs} of each are counted"
        )
    table = np.array([grades[grade_id(item)][:runs] for item in items], dtype=float).reshape(len(items), runs)
    groups: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        capabilities = sorted(set(item.truth["capability"]))
        for name in capabilities:
            groups[f"capability/{name}"].append(place)
        groups["combination/" + "_".join(capabilities)].append(place)
    totals = 100 * table.mean(axis=0)
    values = {"total": float(totals.mean()), "std": float(totals.std()), "runs": float(runs)}
    ordered = sorted(groups.items(), key=lambda entry: (entry[0].split("/")[0], -len(entry[1]), entry[0]))
    values |= {name: float(100 * table[places].mean()) for name, places in ordered}
    per_item = {item.id: float(table[place].mean()) for place, item in enumerate(items)}
    return Measured(values, per_item, clusters=[item.cluster for item in items], notes=notes)


def grade_id(item: Item) -> str:
    """Return the id of an item in MM-Vet's own files."""
    key = str(item.question_id)
    return key if key.startswith("v1_") else f"v1_{key}"
