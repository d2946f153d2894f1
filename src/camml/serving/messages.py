"""Messages of a conversation and tools, as they travel over HTTP."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, StrictInt, Tag, model_validator
from pydantic_core import PydanticCustomError


def _number(value: Any) -> Any:
    """Return a value that is to be read as a number.

    Raises:
      PydanticCustomError: it is true or false, which Python would count as 1 and 0.
    """
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "Input should be a number")
    return value


NoTruth = BeforeValidator(_number)
"""Beside the type of a number, it refuses true and false."""

MOST_MESSAGES = 2048
MOST_PARTS = 2048
"""The most parts of one message."""

Text = Annotated[str, Field(max_length=1_000_000)]
Token = Annotated[StrictInt, Field(ge=0, lt=2**31)]
Tokens = Annotated[list[Token], Field(min_length=1, max_length=65_536, fail_fast=True)]
"""A text as the numbers of its tokens."""


def kind_of_input(value: Any) -> str:
    """Return of which kind an input is meant to be: `text`, `tokens`, a `list` of such, or an `object`."""
    if isinstance(value, list):
        return "tokens" if value and isinstance(value[0], int) and not isinstance(value[0], bool) else "list"
    return "object" if isinstance(value, dict) else "text"


Name = Annotated[str, Field(pattern=r"^[\w.-]{1,128}$", description="letters, digits, _, - and .")]


class WithoutNulls(BaseModel):
    """A document in which null is as good as no value, where none is needed."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        needed = {name for name, about in cls.model_fields.items() if about.is_required()}
        return {key: inner for key, inner in value.items() if inner is not None or key in needed}


class ExtraFields(WithoutNulls):
    """Part of a conversation as a client keeps it, with fields of its own, which are not looked at."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class ImageUrl(ExtraFields):
    """A picture."""

    url: str = Field(description="data:image/...;base64,... or, where allowed, an http(s) address")


class TextPart(ExtraFields):
    """A piece of a message in words."""

    type: Literal["text"]
    text: Text


class ImagePart(ExtraFields):
    """A picture in a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class RefusalPart(ExtraFields):
    """A piece of an earlier answer, in which the assistant would not say something."""

    type: Literal["refusal"]
    refusal: Text

    @property
    def text(self) -> str:
        """The words of it."""
        return self.refusal


Part = Annotated[TextPart | ImagePart | RefusalPart, Field(discriminator="type")]


class CalledFunction(ExtraFields):
    """The function of a call."""

    name: Name
    arguments: Text = Field(description="a JSON object")


class MadeCall(ExtraFields):
    """A call that was made before."""

    id: str = Field(max_length=200)
    type: Literal["function"] = "function"
    function: CalledFunction


UNSUPPORTED_FIELDS = ("function_call", "audio")
"""Fields of a message that say something which this server does not have, unless they are empty."""


class Message(BaseModel):
    """One message of a conversation; what clients keep beside it is not looked at."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Annotated[list[Part], Field(max_length=MOST_PARTS, fail_fast=True)] | None = None
    tool_calls: Annotated[list[MadeCall], Field(max_length=128, fail_fast=True)] | None = None
    tool_call_id: Annotated[str, Field(max_length=200)] | None = None

    def unsupported(self) -> str | None:
        """Return a field that says something which this server does not have."""
        return next((name for name in UNSUPPORTED_FIELDS if (self.model_extra or {}).get(name)), None)

    def text(self) -> str:
        """Return all words of the message."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if not isinstance(part, ImagePart))
        return self.content or ""

    def pictures(self) -> list[str]:
        """Return the addresses of its pictures."""
        parts = self.content if isinstance(self.content, list) else []
        return [part.image_url.url for part in parts if isinstance(part, ImagePart)]


class Function(ExtraFields):
    """A function that the model may call."""

    name: Name
    description: Annotated[str, Field(max_length=20_000)] | None = None
    parameters: dict[str, Any] | None = Field(None, description="a JSON schema")


class Tool(ExtraFields):
    """A tool that the model may call."""

    type: Literal["function"]
    function: Function


class ChosenFunction(ExtraFields):
    """The name of a function."""

    name: Name


class ChosenTool(ExtraFields):
    """The tool that is to be called."""

    type: Literal["function"]
    function: ChosenFunction


class AllowedList(ExtraFields):
    """The tools of those that were given which may be called, or one of which is to be called."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[ChosenTool], Field(min_length=1, max_length=128, fail_fast=True)]


class AllowedTools(ExtraFields):
    """The tools that may be called."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedList


def kind_of_choice(value: Any) -> str | None:
    """Return of which kind a choice of tools is meant to be: a `word`, `one` or `some`; None where it is none."""
    if isinstance(value, dict):
        return {"function": "one", "allowed_tools": "some"}.get(str(value.get("type")))
    return "word" if isinstance(value, str) else None


ChoiceWord = Annotated[Literal["none", "auto", "required"], Tag("word")]
ONE_OF_THE_CHOICES = Discriminator(
    kind_of_choice,
    custom_error_type="kind_of_choice",
    custom_error_message="Input should be 'none', 'auto', 'required', or an object of type 'function' or "
    "'allowed_tools'",
)
ToolChoice = Annotated[
    ChoiceWord | Annotated[ChosenTool, Tag("one")] | Annotated[AllowedTools, Tag("some")], ONE_OF_THE_CHOICES
]
