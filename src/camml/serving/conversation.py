"""The messages of a chat as a question with its history."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from camml.prompts import Message as Step
from camml.serving.messages import Message
from camml.serving.problems import ApiError
from camml.serving.tools import check_depth

GREETING = "You began the conversation with:"
"""Words that stand, with the instructions, before those of the assistant that come before the first question."""
MOST_PICTURES = 32
"""The most pictures that a conversation may have."""


@dataclass(slots=True)
class ConversationTurn:
    """A turn of the conversation.

    Attributes:
      asked: the question, a text of each message.
      pictures: the addresses of those that came with the question.
      steps: calls of tools and their results, as chat templates take them.
      called: the names of the functions of these calls, by the calls' ids.
      said: the answer, a text of each message; empty where there is none yet.
    """

    asked: list[str]
    pictures: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    called: dict[str | None, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def question(self) -> str:
        """Return the whole question."""
        return "\n".join(self.asked)

    @property
    def answer(self) -> str | None:
        """Return the whole answer, None where there is none yet."""
        return "\n".join(self.said) if self.said else None


@dataclass(frozen=True, slots=True)
class Conversation:
    """The question and the history that a chat comes down to.

    Attributes:
      system: all instructions, wherever they stood, and what the assistant said before the first question.
      turns: the last is the question.
      notes: what is not looked at.
    """

    system: str
    turns: tuple[ConversationTurn, ...]
    notes: tuple[str, ...] = ()

    @property
    def picture(self) -> str | None:
        """Return the address of the newest picture, which is searched by."""
        return next((turn.pictures[-1] for turn in reversed(self.turns) if turn.pictures), None)

    @property
    def pictures(self) -> list[str]:
        """Return the addresses of the pictures that the model sees, in their order."""
        return [url for turn in self.turns for url in turn.pictures]


def read(messages: Sequence[Message], most_pictures: int | None = 1, calls: bool = False) -> Conversation:
    """Return a question and its history.

    Args:
      most_pictures: how many pictures the model sees; None for all. Where it is one, that is the newest.
      calls: whether the model knows calls of tools.

    Raises:
      ApiError: there is no question at the end, calls of tools before the first one, or what the model does not know.
    """
    turns: list[ConversationTurn] = []
    system: list[str] = []
    for message in messages:
        if (message.tool_calls or message.role == "tool") and not calls:
            raise _wrong("the chat template of this model knows no calls of tools: leave them and their results out")
        if message.pictures() and message.role != "user":
            raise _wrong(f"a message of role {message.role!r} holds a picture; pictures come from the user")
        if message.role in ("system", "developer"):
            system.append(message.text())
        elif message.role == "user":
            _ask(turns, message, most_pictures)
        elif not turns and message.role == "assistant" and not message.tool_calls:
            # many chat templates let the user begin, so a greeting is told with the instructions
            system += [f"{GREETING} {message.text()}"] if message.text().strip() else []
        elif not turns:
            raise _wrong(f"the role {message.role!r} speaks before the user; begin with a message of role 'user'")
        elif message.role == "tool" or message.tool_calls:
            turns[-1].steps.append(_step(turns[-1], message))
        else:
            turns[-1].said.append(message.text())
    if not turns or turns[-1].said or (turns[-1].steps and turns[-1].steps[-1]["role"] != "tool"):
        raise _wrong("there is no question: the last message should be of role 'user', or the result of a tool")
    shown = [url for turn in turns for url in turn.pictures]
    if not turns[-1].question.strip() and not shown:
        raise _wrong("the question is empty")
    if len(shown) > MOST_PICTURES:
        over = len(shown) - MOST_PICTURES
        raise _wrong(
            f"the conversation holds {len(shown)} pictures; at most {MOST_PICTURES} are looked at: leave out {over}"
        )
    several = len(shown) > 1 and most_pictures is not None
    notes = ("of several pictures in the conversation, the newest is looked at",) if several else ()
    if several:
        for turn in turns:
            turn.pictures = [url for url in turn.pictures if url is shown[-1]]
    return Conversation("\n".join(system).strip(), tuple(turns), notes)


def _ask(turns: list[ConversationTurn], message: Message, most_pictures: int | None) -> None:
    """Add what the user says; two messages without an answer between them are one question."""
    text, shown = message.text(), message.pictures()
    if most_pictures is not None and len(shown) > 1:
        looks = "looks at one picture at a time" if most_pictures else "reads texts only, and the search takes one"
        raise _wrong(f"a message holds {len(shown)} pictures; this model {looks}: leave out {len(shown) - 1}")
    if turns and not turns[-1].said and not turns[-1].steps:
        turns[-1].asked.append(text)
        turns[-1].pictures += shown
    else:
        turns.append(ConversationTurn([text], shown))


def _step(turn: ConversationTurn, message: Message) -> dict[str, Any]:
    """Return calls, or the result of one, as chat templates take them."""
    if message.role != "tool":
        made = [
            {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": arguments}}
            for call in message.tool_calls or ()
            for arguments in [_arguments(call.id, call.function.arguments)]
        ]
        turn.called |= {call.id: call.function.name for call in message.tool_calls or ()}
        return {"role": "assistant", "content": message.text(), "tool_calls": made}
    name = turn.called.get(message.tool_call_id)
    if name is None:
        raise _wrong(f"a result is of the call {message.tool_call_id!r}, and no call before it has this id")
    return {"role": "tool", "name": name, "tool_call_id": message.tool_call_id, "content": message.text()}


def _arguments(call: str, text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise _wrong(f"the arguments of the call {call!r} are not a JSON object")
    check_depth(arguments, "messages")
    return arguments


def _wrong(message: str) -> ApiError:
    return ApiError(400, message, "invalid_value", "messages")
