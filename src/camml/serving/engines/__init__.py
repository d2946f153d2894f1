"""Engines, and how they are loaded. A file in this folder is an engine: it defines `load(model, **options) -> Engine`.

An engine answers many requests at a time. It is used from one event loop, which it never blocks.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from camml import plugins
from camml.answering import Decoding
from camml.errors import OptionError
from camml.features.passages import Budget
from camml.prompts import Turn
from camml.types import Context, Query

if TYPE_CHECKING:
    from camml.serving.engines._calls import CallForm

FinishReason = Literal["stop", "length", "tool_calls"]
"""`stop`: the model ended its answer, or said one of the words to stop at. `length`: no more tokens were allowed.
`tool_calls`: there are calls of tools in the answer; engines leave that to their callers to see."""


JSON = '{"type": "object"}'
"""The schema of any JSON object."""

LEAST_LOGPROB = -9999.0
"""Stands for a probability of nothing, which JSON cannot say."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Ways to choose tokens that OpenAI's and vLLM's clients know, beside those of `Decoding`.

    Attributes:
      frequency_penalty, presence_penalty: taken off the logits of tokens that were said: for each time, and once.
      repetition_penalty: the logits of tokens that were said are divided by it; None for what the model has.
      top_k: sample from so many most likely tokens; 0 for all.
      min_p: sample from tokens of at least this share of the largest probability.
      logprobs: with each token its log probability, and those of so many most likely ones; None for none of them.
      schema: the answer is to be JSON of this schema, itself JSON; empty for any text.
    """

    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float | None = None
    top_k: int = 0
    min_p: float = 0.0
    logprobs: int | None = None
    schema: str = ""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token that was said, its log probability, and the most likely tokens at its place with theirs."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A question to answer.

    Attributes:
      query: the last question of the conversation, and its picture.
      context: the samples to answer from, in order.
      decoding, sampling: how tokens are chosen; the n-th of several answers uses the seed plus n.
      stop: an answer ends before the first of these; they are not part of it.
      n: how many answers.
      history: the earlier turns, oldest first.
      asked: the last turn, where it is more than the query: several pictures, or calls of tools and their results.
      tools: that the model may call, as chat templates take them.
      shorten: where prompt and answer do not fit, allow fewer new tokens rather than refuse.
      id: for logs.
    """

    query: Query
    context: Context = ()
    decoding: Decoding = field(default_factory=Decoding)
    stop: tuple[str, ...] = ()
    n: int = 1
    history: tuple[Turn, ...] = ()
    shorten: bool = False
    id: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    asked: Turn | None = None
    tools: tuple[Mapping[str, Any], ...] = ()

    @property
    def turns(self) -> list[Turn]:
        """Return the whole conversation, the question last."""
        shown = () if self.query.image is None else (self.query.image,)
        return [*(self.query.history or self.history), self.asked or Turn(self.query.text, None, shown)]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that the engine will not refuse any more.

    Attributes:
      request: as it was asked.
      prompt_tokens: how long the prompt is, context and image tokens included.
      max_new_tokens: how long each answer may become.
      notes: what a person should know: a text that was cut, an image that is not seen.
      inputs: the engine's own.
    """

    request: Request
    prompt_tokens: int
    max_new_tokens: int
    notes: tuple[str, ...] = ()
    inputs: Any = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool.

    Attributes:
      number: of the answer's calls, from 0.
      arguments: JSON.
    """

    number: int
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Piece:
    """The next part of an answer; the texts of all pieces of one `index` make up that answer.

    An answer begins and ends without white space. The last piece of each answer, and no other, has a `finish_reason`;
    its text may be empty.

    Attributes:
      index: which of the n answers.
      new_tokens: generated so far for this answer, the end-of-text token and held-back text included.
      logprobs: of the tokens since the last piece, where the request asks for them.
      calls: of tools, taken out of the text by who knows the tools; none from an engine.
    """

    text: str
    index: int = 0
    finish_reason: FinishReason | None = None
    new_tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    calls: tuple[Call, ...] = ()


class Engine(Protocol):
    """A model that answers.

    Attributes:
      slots: how many answers it makes at a time; more wait.
      default_shots: how many samples suit this model.
      most_pictures: how many pictures of a conversation the model sees; None for as many as there is room for.
      calls: how the model writes calls of tools; None where it knows none.
    """

    slots: int
    default_shots: int
    most_pictures: int | None
    calls: "CallForm | None"

    @property
    def most_characters(self) -> int | None:
        """Return how long a question can be at most, with its history; a longer one need not be looked at."""
        ...

    async def prepare(self, request: Request) -> Prepared:
        """Return the request as the model will read it; nothing is generated yet.

        Raises:
          OptionError: it does not fit the model.
          TooLargeError, BusyError: it does not fit the memory, ever or now.
          ImageError, SampleError: a picture or sample cannot be used.
        """
        ...

    def generate(self, prepared: Prepared) -> AsyncIterator[Piece]:
        """Yield the answers as they come. Closing the iterator, or cancelling who waits for it, ends the generation."""
        ...

    def text_of(self, tokens: Sequence[int]) -> str:
        """Return the text that tokens of the model stand for. Blocks.

        Raises:
          InputError: they are not tokens of the model.
        """
        ...

    def budget(self, passages: str) -> Budget | None:
        """Return how much text of the samples the model is to read; see `camml.answering.budget_of`."""
        ...

    def status(self) -> Mapping[str, float]:
        """Return figures of now: `running` and `waiting` answers, and counters whose names end in `_total`."""
        ...

    def healthy(self) -> bool:
        """Return whether it can answer: nothing that it runs on has died."""
        ...

    async def close(self) -> None:
        """Let go of the model; what is still being generated ends with an error."""
        ...


def load(name: str, model: Path, **options: Any) -> Engine:
    """Return the engine called `name` with the model in folder `model`.

    Raises:
      UnknownNameError: no such engine.
      OptionError: it has no such option.
      ModelFolderError: the folder does not hold a model for it.
    """
    make = plugins.find("serving.engines", name).load
    known = {key: parameter for key, parameter in signature(make).parameters.items() if key != "model"}
    free = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in known.values())
    if unknown := [key for key in options if key not in known and not free]:
        raise OptionError(f"the engine {name!r} has no option {unknown[0]!r}; it has: {', '.join(known)}")
    engine: Engine = make(model, **options)
    return engine
