"""The samples that come with a question: retrieved, or altered to show what they are good for."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from camml.data.origins import store_state
from camml.errors import EmptyStoreError, OptionError
from camml.evaluation.questions import ONE_LETTER
from camml.types import Context, Neighbor, Query, Sample

if TYPE_CHECKING:
    from camml.datastore import Datastore
    from camml.retriever import Retriever

KINDS = {
    "none": "no samples",
    "retrieved": "the nearest samples",
    "random": "samples drawn from the whole datastore",
    "shuffled": "the nearest samples in another order",
    "no_images": "the nearest samples without their images",
    "no_texts": "the nearest samples without their texts",
    "copy": "no model: the answer of the nearest sample is the answer",
}
ANSWER_MARKS = ("Answer the question using a single word or phrase.", ONE_LETTER, "?")
"""What stands right before the answer in the text of a sample, the surest first."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What a model is given beside the question.

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
        """Whether there must be a datastore."""
        return self.context != "none"

    @property
    def needs_model(self) -> bool:
        """Whether a model answers."""
        return self.context != "copy"


def variants(contexts: Sequence[str], shots: Sequence[int]) -> list[Variant]:
    """All contexts with all numbers of shots, each once: without samples they are all `none`, and `copy` needs one.

    Raises:
      OptionError: no such context, or a negative number.
    """
    every = (Variant(context, number) for context in contexts for number in shots)
    return list(dict.fromkeys(_plain(variant) for variant in every))


def _plain(variant: Variant) -> Variant:
    if variant.context == "copy":
        return Variant("copy", 1)
    return Variant("none", 0) if variant.context == "none" or not variant.shots else variant


class Evidence:
    """A datastore as the source of all kinds of context.

    Args:
      store: its name, as on the command line.
      datastore, retriever: opened.
      depth: how many samples are retrieved, of which the first are used.
      seed: of random samples and of the order of shuffled ones.
    """

    def __init__(self, store: str, datastore: "Datastore", retriever: "Retriever", depth: int, seed: int) -> None:
        if not len(datastore):
            raise EmptyStoreError(f"{store} holds no samples; add some with `camml store add`")
        self.datastore = datastore
        self.retriever = retriever
        self.depth = depth
        self.seed = seed
        self.hash, self.generation = store_state(store)
        self._ids: list[str] = []

    def check(self, shots: int) -> None:
        """That there are as many samples.

        Raises:
          OptionError: there are fewer.
        """
        if shots > len(self.datastore):
            raise OptionError(f"shots is {shots}, but the datastore holds {len(self.datastore)} samples")

    def find(self, variant: Variant, queries: Sequence[Query]) -> list[Context]:
        """For each query what was retrieved or drawn; the first `variant.shots` are to be used."""
        if variant.context == "none" or not queries:
            return [()] * len(queries)
        if variant.context == "random":
            return [self._drawn(query, variant.shots) for query in queries]
        return self.retriever.retrieve(queries, max(self.depth, variant.shots))

    def _drawn(self, query: Query, shots: int) -> Context:
        """Samples that have nothing to do with the query, the same ones at every run."""
        self._ids = self._ids or [sample.id for sample in self.datastore]
        drawn = random.Random(f"{self.seed} {query.id}").sample(self._ids, min(shots + 1, len(self._ids)))
        others = [name for name in drawn if name != query.id][:shots]
        return tuple(Neighbor(self.datastore[name], math.nan) for name in others)


def altered(variant: Variant, found: Context, seed: str) -> Context:
    """The samples that the model gets of those found."""
    context = found[: variant.shots]
    if variant.context == "shuffled":
        order = list(context)
        random.Random(seed).shuffle(order)
        return tuple(order)
    if variant.context == "no_images":
        return tuple(replace(one, sample=replace(one.sample, image=None)) for one in context)
    if variant.context == "no_texts":
        return tuple(replace(one, sample=replace(one.sample, text="")) for one in context)
    return context


def copied_answer(sample: Sample) -> str:
    """The answer that a sample holds: its `answer` in `meta`, or what follows the question in its text, or all."""
    answer = sample.meta.get("answer")
    if isinstance(answer, str):
        return answer
    for mark in ANSWER_MARKS:
        _, found, after = sample.text.rpartition(mark)
        if found and after.strip():
            return after.strip()
    return sample.text.strip()
