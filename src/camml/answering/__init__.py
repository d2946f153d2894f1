"""Queries and their contexts to answers. A file in this folder is a way to use retrieved samples: it defines `load`.

`perceiver` compresses the samples to context tokens (a CaMML model). The others are the baselines it is to beat:
`interleaved` puts pictures and texts of the samples into the prompt of any vision-language model, `in_prompt` their
texts into that of any language model, and `api` sends both to a model behind an endpoint.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from camml import plugins
from camml.errors import OptionError
from camml.features.passages import Budget, PassageChooser
from camml.passages import FIRST, check_passages
from camml.types import Context, Prediction, Query

DEFAULT_SHOTS = {"perceiver": 3, "interleaved": 3, "in_prompt": 1}
"""A small language model mixes up the facts of several samples that stand in its prompt."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """The way in which an answer is chosen token by token.

    Attributes:
      max_new_tokens: the longest answer.
      temperature: 0 for greedy decoding, else the softmax temperature of sampling.
      top_p: sample from the most likely tokens that make up this probability.
      seed: of the sampling; None for another answer each time.
      grounded: only words of the samples and the question are said, where there are samples; None as the model has it.

    Example:
      >>> Decoding(max_new_tokens=32, temperature=0.7, seed=1).top_p
      1.0
    """

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    grounded: bool | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise OptionError(f"max_new_tokens is {self.max_new_tokens}; give 1 or more")
        if not 0 <= self.temperature < math.inf:
            raise OptionError(f"temperature is {self.temperature}; give 0 (greedy) or more")
        if self.seed is not None and not -(2**63) <= self.seed < 2**63:
            raise OptionError(f"seed is {self.seed}; give a whole number of 64 bits")
        if not 0 < self.top_p <= 1:
            raise OptionError(f"top_p is {self.top_p}; give more than 0 and at most 1")


class Answerer(Protocol):
    """A language model that answers from retrieved samples.

    Example:
      >>> from camml import Query
      >>> answerer: Answerer = load("perceiver", "models/camml-mini")
      >>> "Which seal?" in answerer.prompt(Query("Which seal?"), ())
      True
    """

    def answer(
        self, queries: Sequence[Query], contexts: Sequence[Context], decoding: Decoding | None = None
    ) -> list[Prediction]:
        """Return one answer for each query, from the context at the same place; a context may be empty.

        Raises:
          OptionError: a question is too long for the model.
        """
        ...

    def prompt(self, query: Query, context: Context) -> str:
        """Return what the model is asked, before it is cut short; `<context>` and `<image>` mark what is no text."""
        ...

    def notes(self, query: Query, context: Context, decoding: Decoding | None = None) -> tuple[str, ...]:
        """Return what a person should know of the answer: a text was cut short, an image is not seen."""
        ...

    def budget(self, tokens: int | None = None) -> Budget | None:
        """Return how much text of the samples the model has room for; None where it reads whatever fits its prompt.

        Args:
          tokens: allow so many, instead of what the model itself has room for.
        """
        ...

    def stream(self, query: Query, context: Context, decoding: Decoding | None = None) -> Iterator[str]:
        """Yield the answer to one query, in pieces as they come."""
        ...

    def likelihood(self, query: Query, context: Context, answer: str) -> float:
        """Return the logarithm of the probability that the model gives an answer after a query and its context.

        Raises:
          OptionError: the model does not tell.
        """
        ...


def fitting(model: str | Path) -> str:
    """Return the way of using samples that fits a model: a file in this folder.

    Raises:
      ModelFolderError: the folder does not hold a model.
    """
    from camml.model.loading import kind_of

    return {"camml": "perceiver", "vision-language": "interleaved", "language": "in_prompt"}[kind_of(model)]


def budget_of(answerer: Answerer, passages: str) -> Budget | None:
    """Return how much text of the samples a model is to read, by a setting of people; None for all of it.

    Args:
      passages: `auto` for what the model has room for, `off` for all of it, a number of tokens; `72-98` for 72, or all
        of the nearest text where that has no more than 98; `first:NUMBER` for the first tokens instead of what the
        question asks for.

    Raises:
      OptionError: it is something else.
    """
    check_passages(passages)
    if passages == "off":
        return None
    if passages == "auto":
        return answerer.budget()
    tokens, _, whole = passages.removeprefix(FIRST).partition("-")
    budget, most = answerer.budget(int(tokens)), answerer.budget()
    if budget and passages.startswith(FIRST):
        return replace(budget, chosen=False)
    if budget and whole:
        return replace(budget, whole=min(int(whole), most.tokens if most else int(whole)))
    return budget


def with_passages(
    answerer: Answerer,
    chooser: PassageChooser | None,
    queries: Sequence[Query],
    contexts: Sequence[Context],
    passages: str = "auto",
) -> Sequence[Context]:
    """Return the contexts as a model reads them: of texts that it has no room for, the passages that questions ask for.

    Args:
      chooser: None reads texts from their beginning.

    Raises:
      OptionError: `passages` is invalid; see `budget_of`.
    """
    budget = budget_of(answerer, passages)
    return contexts if budget is None or chooser is None else chooser.choose(queries, contexts, budget)


def load(use: str, model: str | Path, **options: Any) -> Answerer:
    """Return the way `use` of using samples, with the model in folder `model`.

    Raises:
      UnknownNameError: no such way.
      ModelFolderError: the folder does not hold a model for it.

    Example:
      >>> from camml import Query
      >>> answerer = load("perceiver", "models/camml-mini")
      >>> [prediction] = answerer.answer([Query("Which seal?")], [()], Decoding(max_new_tokens=4))
      >>> 0 < prediction.new_tokens <= 4
      True
    """
    answerer: Answerer = plugins.find("answering", use).load(Path(model), **options)
    return answerer
