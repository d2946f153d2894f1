"""Documents that travel over HTTP: bodies of requests, checked, and what samples look like in answers."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from camml.serving.messages import (
    MOST_MESSAGES,
    ImageUrl,
    Message,
    NoTruth,
    Text,
    Tokens,
    Tool,
    ToolChoice,
    WithoutNulls,
    kind_of_input,
)
from camml.serving.searching import Searching

Id = Annotated[str, Field(min_length=1, max_length=512)]
Word = Annotated[str, Field(max_length=200)]
Scalar = str | bool | int | float | None

IGNORED = frozenset(
    {"user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "verbosity"}
)
"""Fields of OpenAI's that do not change an answer."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "logit_bias": ({},),
    "modalities": (["text"],),
    "reasoning_effort": ("none",),
    "functions": ([],),
    "function_call": ("none", "auto"),
}
"""Fields of OpenAI's that this server does not have, and the values that ask for nothing."""


class Body(WithoutNulls):
    """A request; fields it does not know are refused, unless they are null."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class GivenSample(Body):
    """A sample to answer from: one of the datastore by its id, or one that is brought along."""

    id: Id | None = None
    text: Annotated[str, Field(max_length=50_000)] | None = None
    image_url: str | None = None


class StreamOptions(Body):
    """Options of a stream."""

    include_usage: bool = False
    include_obfuscation: bool = False


class ChatBody(Searching):
    """A question as OpenAI's chat completions have it, and where to look for samples."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: str = Field(max_length=200)
    messages: list[Message] = Field(min_length=1, max_length=MOST_MESSAGES, fail_fast=True)
    max_tokens: Annotated[int, Field(ge=1, le=2**20), NoTruth] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=2**20), NoTruth] | None = None
    temperature: Annotated[float, Field(ge=0, le=2), NoTruth] | None = Field(
        None, description="0, the default, takes the likeliest token"
    )
    top_p: Annotated[float, Field(ge=0, le=1), NoTruth] | None = Field(None, description="0 takes the likeliest token")
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63), NoTruth] | None = None
    n: Annotated[int, Field(ge=1, le=128), NoTruth] | None = None
    stop: Word | Annotated[list[Word], Field(max_length=4, fail_fast=True)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2), NoTruth] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2), NoTruth] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.1, le=10), NoTruth] | None = Field(
        None, description="1 for none; the model's own if not given"
    )
    top_k: Annotated[int, Field(ge=-1, le=2**20), NoTruth] | None = Field(None, description="0 and -1 for all")
    min_p: Annotated[float, Field(ge=0, le=1), NoTruth] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20), NoTruth] | None = None
    response_format: dict[str, Any] | None = Field(None, description="text, json_object or json_schema")
    tools: Annotated[list[Tool], Field(max_length=128, fail_fast=True)] | None = None
    tool_choice: ToolChoice | None = Field(None, description="none, auto, required, a tool, or allowed_tools")
    parallel_tool_calls: bool | None = Field(None, description="false for one call at most")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: str | bool | None = Field(None, description="a datastore; true and false, which OpenAI knows, mean nothing")
    shots: Annotated[int, Field(ge=0, le=64), NoTruth] | None = Field(
        None, description="samples to use; 0 answers without any"
    )
    samples: Annotated[list[GivenSample], Field(max_length=32, fail_fast=True)] | None = None

    def stops(self) -> tuple[str, ...]:
        """Return the words to stop at."""
        words = [self.stop] if isinstance(self.stop, str) else self.stop or ()
        return tuple(word for word in words if word)

    def unsupported(self) -> str | None:
        """Return a field that asks for what this server does not have."""
        for number, message in enumerate(self.messages):
            if (name := message.unsupported()) is not None:
                return f"messages.{number}.{name}"
        for name, value in (self.model_extra or {}).items():
            if value is not None and name not in IGNORED and value not in NEUTRAL.get(name, ()):
                return name
        return None


MOST_INPUTS = 2048
"""Of one request. Source: OpenAI's limit."""


class ImageInput(Body):
    """A picture to embed."""

    type: Literal["image_url"] = "image_url"
    image_url: ImageUrl


class EmbeddingBody(Body):
    """Texts, or pictures, to turn into vectors."""

    model: str = Field(max_length=200)
    input: Annotated[
        Annotated[Text, Tag("text")]
        | Annotated[Tokens, Tag("tokens")]
        | Annotated[
            list[Text | ImageInput | Tokens], Field(min_length=1, max_length=MOST_INPUTS, fail_fast=True), Tag("list")
        ]
        | Annotated[ImageInput, Tag("object")],
        Discriminator(kind_of_input),
    ]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1), NoTruth] | None = None
    user: str | None = None


class SearchBody(Searching, Body):
    """A search in a datastore by words, by a picture, or by both."""

    query: Text = ""
    image_url: str | None = None
    k: Annotated[int, Field(ge=1, le=1000), NoTruth] = 10


class NewSample(Body):
    """A sample to add, as JSON; forms have the same fields, and a file in place of `image_url`."""

    text: Text = ""
    id: Annotated[str, Field(max_length=512)] | None = None
    meta: dict[str, Any] = Field(default_factory=dict, description="plain values")
    image_url: str | None = Field(None, description="data:image/...;base64,... or, where allowed, an http(s) address")


class SampleOut(BaseModel):
    """A sample as answers show it."""

    id: str
    text: str
    meta: dict[str, Any]
    thumbnail_url: str | None = Field(description="a small JPEG; None for a sample without a picture")
    store: str | None = Field(description="None for a sample that came with the request")


class NeighborOut(SampleOut):
    """A sample that was found, and how near it is."""

    score: float | None = Field(description="cosine, or fused rank score; None where the sample was given")
    found_by: str | None = Field(None, description="the search that found it, such as image-image")
    passages: list[str] | None = Field(None, description="what was read of the text, where that is not all of it")
    supporting: str | None = Field(None, description="the passage that the answer was taken from, as its words show")


class SamplesOut(BaseModel):
    """Samples of a datastore in the order they were added."""

    object: Literal["list"] = "list"
    data: list[SampleOut]
    total: int
    has_more: bool


class NeighborsOut(BaseModel):
    """Samples, nearest first."""

    object: Literal["list"] = "list"
    data: list[NeighborOut]


class StoreOut(BaseModel):
    """A datastore."""

    id: str
    object: Literal["store"] = "store"
    samples: int
    images: int
    texts: int
    encoder: str
    modes: list[str]
    read_only: bool


class StoresOut(BaseModel):
    """All datastores of a server."""

    object: Literal["list"] = "list"
    data: list[StoreOut]
    default: str | None


class Removed(BaseModel):
    """A number of samples that are gone."""

    removed: int


class ErrorDetail(BaseModel):
    """The mistake, in words and for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorOut(BaseModel):
    """Every answer with a status from 400."""

    error: ErrorDetail


class MetaForm(BaseModel):
    """The metadata of a new sample."""

    model_config = ConfigDict(allow_inf_nan=False)
    meta: dict[Annotated[str, Field(max_length=200)], Scalar] = Field(max_length=64)

    @field_validator("meta")
    @classmethod
    def _small(cls, value: dict[str, Scalar]) -> dict[str, Scalar]:
        if any(isinstance(number, int) and not -(2**63) <= number < 2**63 for number in value.values()):
            raise ValueError("a number is too large")
        return value
