"""Answers, and what they were made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camml.answering import Decoding
from camml.assistant.support import judged
from camml.datastore.given import kind_of
from camml.errors import OptionError
from camml.images import ImageSource
from camml.images.data_urls import opened
from camml.refusals import REFUSAL
from camml.types import Context, Prediction, Query

NOT_TOLD = "the model found no answer in the samples"
"""Why an answer is a refusal where a model gave it."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A question with all that a model is to read.

    Attributes:
      context: the samples, with the passages that are read.
      notes: what a person should know of them.
      refusal: why no model is to be asked; empty where one is.
    """

    query: Query
    context: Context
    notes: tuple[str, ...] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and what it was made from.

    Attributes:
      text: the answer.
      evidence: the samples it was made from, nearest first, each with its score and the passages that were read; of the
        one that the answer was taken from, `supporting` says which passage. Where `refused`, the nearest ones.
      notes: what a person should know before trusting the answer.
      prompt_tokens, new_tokens: how much was read and said.
      refused: the samples do not tell, as the model says, or as none was asked because no sample is near enough.
      reason: why it was refused.
      prompt: what the model was asked.

    Example:
      >>> Answer("Seal 4711", evidence=(), new_tokens=3).text
      'Seal 4711'
    """

    text: str
    evidence: Context
    notes: tuple[str, ...] = ()
    prompt_tokens: int = 0
    new_tokens: int = 0
    refused: bool = False
    reason: str = ""
    prompt: str = ""

    @classmethod
    def of(cls, ready: Ready, prediction: Prediction) -> "Answer":
        """Return the answer that a model gave to a question."""
        notes = ready.notes + prediction.notes
        refused, context = judged(prediction.text, prediction.context, ready.query.text)
        reason = NOT_TOLD if refused else ""
        tokens = prediction.prompt_tokens, prediction.new_tokens
        return cls(prediction.text, context, notes, *tokens, refused, reason, prediction.prompt)

    @classmethod
    def refusal(cls, ready: Ready) -> "Answer":
        """Return the answer to a question that no model was asked."""
        return cls(REFUSAL, ready.context, ready.notes, refused=True, reason=ready.refusal)


def check_options(where: Any = None, decoding: Any = None) -> None:
    """Raise an OptionError if options of an answer are of other types than they must have."""
    if where is not None and not isinstance(where, Mapping) and not callable(where):
        remedy = 'give values of the meta as {"hall": "B"}, or a function of a sample'
        raise OptionError(f"where is {kind_of(where)}; {remedy}")
    if decoding is not None and not isinstance(decoding, Decoding):
        raise OptionError(f"decoding is {kind_of(decoding)}; give camml.answering.Decoding(max_new_tokens=...)")


def query_of(question: str, image: ImageSource | None) -> Query:
    """Return a question with its picture, opened unless it is a file that is yet to be read.

    Raises:
      OptionError: the question is not a text, or contains an unpaired surrogate.
      ImageError: the picture cannot be used.
    """
    if not isinstance(question, str):
        raise OptionError(f"the question {question!r} is {kind_of(question)}, not a str; give a text")
    try:
        question.encode()
    except UnicodeEncodeError as error:
        half = question[error.start]
        raise OptionError(
            f"the question contains an unpaired surrogate ({half!r}), which is not valid Unicode; retype the text"
        ) from None
    return Query(question, image if image is None or isinstance(image, Path) else opened(image))
