"""Kinds of samples that come with a question: the nearest ones, or others and altered ones to show what they do."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from camml.errors import OptionError
from camml.evaluation.questions import ONE_LETTER
from camml.evaluation.task import Item, Knowledge
from camml.types import Context, Sample

KINDS = {
    "none": "no samples",
    "retrieved": "the nearest samples",
    "random": "samples drawn from the whole datastore",
    "shuffled": "the nearest samples in another order",
    "no_images": "the nearest samples without their images",
    "no_texts": "the nearest samples without their texts",
    "oracle": "a right sample first, retrieved or not, then the nearest others",
    "copy": "no model: the answer of the nearest sample is the answer",
    "majority": "no model: what most of the nearest samples say is the answer",
}
WITHOUT_MODEL = ("copy", "majority")
NEEDS_KNOWLEDGE = ("oracle", "majority")
"""Kinds for tasks alone that can tell what a sample knows."""
ANSWER_MARKS = ("Answer the question using a single word or phrase.", ONE_LETTER, "?")
"""What stands right before the answer in the text of a sample, the surest first."""


@dataclass(frozen=True, slots=True)
class Variant:
    """The input that a model gets beside the question: a kind of context and a number of samples.

    Attributes:
      context: one of KINDS.
      shots: how many samples.
    """

    context: str
    shots: int

    def __post_init__(self) -> None:
        if self.context not in KINDS:
            raise OptionError(f"no context {self.context!r}; there are: {', '.join(KINDS)}")
        if self.shots < 0:
            raise OptionError(f"shots is {self.shots}; give 0 or more")

    @property
    def name(self) -> str:
        """Its name in folders and tables."""
        return self.context if self.context in ("none", "copy") else f"{self.context}-{self.shots}"

    @property
    def needs_store(self) -> bool:
        """True if there must be a datastore."""
        return self.context != "none"

    @property
    def needs_model(self) -> bool:
        """True if a model answers."""
        return self.context not in WITHOUT_MODEL

    def check(self, name: str, knowledge: Knowledge | None) -> None:
        """Raise if the task called `name` has no such kind of context.

        Raises:
          OptionError: it cannot tell what a sample knows.
        """
        if self.context in NEEDS_KNOWLEDGE and knowledge is None:
            raise OptionError(f"{name} cannot tell which samples are right, so it has no context {self.context!r}")


def variants(contexts: Sequence[str], shots: Sequence[int]) -> list[Variant]:
    """Combine all contexts with all numbers of shots, each once: without samples all are `none`; `copy` needs one.

    Raises:
      OptionError: no such context, or a negative number.
    """
    every = (Variant(context, number) for context in contexts for number in shots)
    return list(dict.fromkeys(_plain(variant) for variant in every))


def _plain(variant: Variant) -> Variant:
    if variant.context == "copy" or (variant.context == "majority" and not variant.shots):
        return Variant(variant.context, 1)
    return Variant("none", 0) if variant.context == "none" or not variant.shots else variant


def altered(variant: Variant, retrieved: Context, seed: str) -> Context:
    """Return the samples that the model gets in place of the retrieved ones."""
    context = retrieved[: variant.shots]
    if variant.context == "shuffled":
        order = list(context)
        random.Random(seed).shuffle(order)
        return tuple(order)
    if variant.context == "no_images":
        return tuple(replace(neighbor, sample=replace(neighbor.sample, image=None)) for neighbor in context)
    if variant.context == "no_texts":
        return tuple(replace(neighbor, sample=replace(neighbor.sample, text="")) for neighbor in context)
    return context


def answer_without_model(variant: Variant, knowledge: Knowledge | None, item: Item, context: Context) -> str:
    """Return the nearest sample's answer, or the most common one (of equals the nearest); empty where there is none."""
    samples = [neighbor.sample for neighbor in context]
    if knowledge is None:
        return copied_answer(samples[0]) if samples else ""
    votes = [answer for sample in samples if (answer := knowledge.says(item, sample)) is not None]
    if variant.context == "copy":
        return (knowledge.says(item, samples[0]) if samples else None) or ""
    return Counter(votes).most_common(1)[0][0] if votes else ""


def copied_answer(sample: Sample) -> str:
    """Return the answer that a sample holds: its `answer` in `meta`, its text after the question, or all its text."""
    answer = sample.meta.get("answer")
    if isinstance(answer, str):
        return answer
    for mark in ANSWER_MARKS:
        _, separator, after = sample.text.rpartition(mark)
        if separator and after.strip():
            return after.strip()
    return sample.text.strip()
