"""Conversations and tools as `/v1/responses` has them, and as chats have them."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from camml.serving.messages import MOST_PARTS, ONE_OF_THE_CHOICES, ChoiceWord, ExtraFields, Name, Text
from camml.serving.problems import ApiError

RENAMED = {
    "messages": "input",
    "response_format": "text.format",
    "max_completion_tokens": "max_output_tokens",
    ".function": "",
}
"""Parts of the names of a chat's fields that are others here."""


class InputPart(ExtraFields):
    """A piece of a message: a text, words of refusal, or a picture."""

    type: Literal["input_text", "output_text", "refusal", "input_image"]
    text: Text | None = None
    refusal: Text | None = None
    image_url: str | None = None

    def chat(self) -> dict[str, Any]:
        """Return it as chats have it.

        Raises:
          ApiError: a picture without an address, or a text without words.
        """
        if self.type != "input_image":
            name = "refusal" if self.type == "refusal" else "text"
            words = self.refusal if name == "refusal" else self.text
            if words is None:
                raise ApiError(400, f"a part of type {self.type!r} needs the field {name!r}", "invalid_value", "input")
            return {"type": "text", "text": words}
        if self.image_url is None:
            raise ApiError(400, "a picture comes as image_url; files are not kept here", "invalid_value", "input")
        return {"type": "image_url", "image_url": {"url": self.image_url}}


class Item(ExtraFields):
    """A message of the conversation."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[InputPart], Field(max_length=MOST_PARTS, fail_fast=True)]

    def chat(self) -> dict[str, Any]:
        """Return it as chats have it."""
        parts = [InputPart(type="input_text", text=self.content)] if isinstance(self.content, str) else self.content
        content = [part.chat() for part in parts]
        return {"role": self.role, "content": content, "tool_calls": []}


class CallItem(ExtraFields):
    """A call of a tool that was made before."""

    type: Literal["function_call"]
    call_id: str = Field(max_length=200)
    name: Name
    arguments: Text = Field(description="a JSON object")

    def chat(self) -> dict[str, Any]:
        """Return it as chats have it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"role": "assistant", "content": [], "tool_calls": [{"id": self.call_id, "function": function}]}


class ResultPart(ExtraFields):
    """A piece of the result of a call."""

    type: Literal["input_text"]
    text: Text


class ResultItem(ExtraFields):
    """The result of a call."""

    type: Literal["function_call_output"]
    call_id: str = Field(max_length=200)
    output: Text | Annotated[list[ResultPart], Field(max_length=MOST_PARTS, fail_fast=True)]

    def chat(self) -> dict[str, Any]:
        """Return it as chats have it."""
        text = self.output if isinstance(self.output, str) else "\n".join(part.text for part in self.output)
        return {"role": "tool", "tool_call_id": self.call_id, "content": text}


class ReasoningItem(ExtraFields):
    """Thoughts of another model, as a client keeps them; they are not looked at."""

    type: Literal["reasoning"]


def _kind(value: Any) -> str:
    return str(value.get("type") or "message") if isinstance(value, dict) else "message"


AnyItem = Annotated[
    Annotated[Item, Tag("message")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[ResultItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(
        _kind,
        custom_error_type="kind_of_item",
        custom_error_message="Input should be of type 'message', 'reasoning', 'function_call' or "
        "'function_call_output'",
    ),
]


class FlatTool(ExtraFields):
    """A tool that the model may call."""

    type: Literal["function"]
    name: Name
    description: Annotated[str, Field(max_length=20_000)] | None = None
    parameters: dict[str, Any] | None = Field(None, description="a JSON schema")

    def chat(self) -> dict[str, Any]:
        """Return it as chats have it."""
        return {"type": "function", "function": self.model_dump(exclude={"type"})}


class FlatChoice(ExtraFields):
    """The tool that is to be called."""

    type: Literal["function"]
    name: Name

    def chat(self) -> dict[str, Any]:
        """Return it as chats have it."""
        return {"type": "function", "function": {"name": self.name}}


class FlatAllowed(ExtraFields):
    """The tools that may be called."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[FlatChoice], Field(min_length=1, max_length=128, fail_fast=True)]

    def chat(self) -> dict[str, Any]:
        """Return it as chats have it."""
        allowed = {"mode": self.mode, "tools": [tool.chat() for tool in self.tools]}
        return {"type": self.type, "allowed_tools": allowed}


FlatToolChoice = Annotated[
    ChoiceWord | Annotated[FlatChoice, Tag("one")] | Annotated[FlatAllowed, Tag("some")], ONE_OF_THE_CHOICES
]


def messages_of(items: Iterable[Item | CallItem | ResultItem | ReasoningItem]) -> list[dict[str, Any]]:
    """Return items as the messages of a chat; what the assistant says beside calls is one message with these.

    Example:
      >>> made = [CallItem(type="function_call", call_id=id, name="clock", arguments="{}") for id in "ab"]
      >>> [len(message["tool_calls"]) for message in messages_of(made)]
      [2]
    """
    messages: list[dict[str, Any]] = []
    for message in (item.chat() for item in items if not isinstance(item, ReasoningItem)):
        last = messages[-1] if messages else message
        both = last["role"] == message["role"] == "assistant" and message is not last
        if both and (last["tool_calls"] or message["tool_calls"]):
            last["content"] += message["content"]
            last["tool_calls"] += message["tool_calls"]
        else:
            messages.append(message)
    return messages


def renamed(error: ApiError, names: Mapping[str, str] = RENAMED) -> ApiError:
    """Return an error about a chat as one about what was sent, where its fields have other names.

    Args:
      names: parts of the names of a chat's fields, by what they are in what was sent.

    Example:
      >>> renamed(ApiError(400, "messages: it is empty", "invalid_value", "messages")).message
      'input: it is empty'
    """
    param = error.param or ""
    for of_chats, here in names.items():
        param = param.replace(of_chats, here)
    if param == (error.param or ""):
        return error
    message = error.message.replace(error.param or "", param)
    return ApiError(error.status_code, message, error.code, param, error.headers)
