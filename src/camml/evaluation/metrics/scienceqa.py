"""ScienceQA: reading the option out of an answer, and accuracy by the groups of the paper."""

import random
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from camml.evaluation.task import Item, Measured, Settings, Weights, mean

LETTERS = "ABCDE"
_THE_ANSWER_IS = re.compile(r"The answer is ([A-Z]).")
_ANSWER = re.compile(r"ANSWER: ([A-Z]).")
Reader = Callable[[str], str | None]


def short_answer(text: str) -> str | None:
    """Return the letter of "B", of "B. something", or of one "The answer is B." (with a character after the letter).

    Source: LLaVA's eval_science_qa.py.
    """
    if text in tuple(LETTERS):
        return text
    if len(text) >= 3 and text[0] in LETTERS and text[1:3] == ". ":
        return text[0]
    matches = _THE_ANSWER_IS.findall(text)
    return matches[0] if len(matches) == 1 else None


def reasoned_answer(text: str) -> str | None:
    """Return the letter of one "ANSWER: B." (a character follows), as models trained on QCM-LEPA write.

    Source: CaMML's eval_science_qa_new.py.
    """
    matches = _ANSWER.findall(text)
    return matches[0] if len(matches) == 1 else None


def accuracy_with(read: Reader, *, of_images: bool = False) -> Callable[..., Measured]:
    """Make a metric: the percentage of right letters, in all, with image, without, and by the paper's groups.

    The interval is that of all questions, or `of_images`, of those with one.

    An answer without a letter among the choices is wrong. With `settings.random_guess` it is a guess instead, unless
    there was no answer at all, as in the evaluation of the fine-tuned models; the draws are those of the official
    script after `random.seed`.

    Items' truth is `{"letter": str, "choices": number, "image": bool, "groups": [name, ...]}`.
    """

    def measure(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
        guesses = None if settings.random_guess is None else random.Random(settings.random_guess)
        per_item, groups, failed = {}, defaultdict[str, list[float]](list), 0
        for item in items:
            choices = LETTERS[: item.truth["choices"]]
            letter = read(answers[item.id])
            if letter is None or letter not in choices:
                failed += 1
                letter = _guess(guesses, choices) if guesses and item.id not in settings.unanswered else None
            per_item[item.id] = float(letter == item.truth["letter"])
            for name in _groups(item):
                groups[name].append(per_item[item.id])
        values = {"accuracy": 100 * mean(list(per_item.values()))}
        values |= {name: 100 * mean(hits) for name, hits in sorted(groups.items())}
        clusters = [item.cluster for item in items]
        headline = _image_accuracy(items, per_item) if of_images else None
        return Measured(values | {"unread": float(failed)}, per_item, headline, clusters)

    return measure


def _guess(guesses: random.Random, choices: str) -> str:
    """Return one guess; the official script draws twice for each answer and scores the first."""
    first = guesses.choice(range(len(choices)))
    guesses.choice(range(len(choices)))
    return choices[first]


def _image_accuracy(items: Sequence[Item], per_item: Mapping[str, float]) -> Callable[[Weights], float]:
    """Return the percentage over questions with an image, as a function of how often each question is drawn.

    It is NaN where none of them is drawn.
    """
    pictured = np.array([item.truth["image"] for item in items], dtype=float)
    hits = np.array(list(per_item.values()))

    def accuracy(weights: Weights) -> float:
        counted = weights * pictured
        return float(100 * (counted * hits).sum() / counted.sum()) if counted.any() else np.nan

    return accuracy


def _groups(item: Item) -> list[str]:
    truth = item.truth
    modality = "image_accuracy" if truth["image"] else "text_accuracy"
    return [modality, *truth.get("groups", ())]
