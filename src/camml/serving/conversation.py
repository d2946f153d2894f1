"""The messages of a chat as a question with its history."""

from collections.abc import Sequence
from dataclasses import dataclass

from camml.prompts import Turn
from camml.serving.problems import ApiError
from camml.serving.wire import Message


@dataclass(frozen=True, slots=True)
class Conversation:
    """The question and the history that a chat comes down to.

    Attributes:
      system: all instructions, wherever they stood.
      history: the earlier turns with their answers.
      question: the last words of the user.
      picture: the address of the newest picture, which is the one the model sees.
      notes: what is not looked at.
    """

    system: str
    history: tuple[Turn, ...]
    question: str
    picture: str | None
    notes: tuple[str, ...] = ()


def read(messages: Sequence[Message]) -> Conversation:
    """Return a question and its history.

    Raises:
      ApiError: the user does not speak first and last, or shows several pictures at once.
    """
    turns: list[Turn] = []
    system: list[str] = []
    pictures: list[str] = []
    for message in messages:
        text = message.text()
        if message.role in ("system", "developer"):
            system.append(text)
        elif message.role == "user":
            shown = message.pictures()
            if len(shown) > 1:
                raise _wrong(f"a message holds {len(shown)} pictures; this model looks at one picture at a time")
            pictures += shown
            if turns and turns[-1].answer is None:
                turns[-1] = Turn(f"{turns[-1].question}\n{text}")
            else:
                turns.append(Turn(text))
        elif not turns:
            raise _wrong("the assistant speaks before the user; begin with a message of role 'user'")
        else:
            before = turns[-1].answer
            turns[-1] = Turn(turns[-1].question, text if before is None else f"{before}\n{text}")
    if not turns or turns[-1].answer is not None:
        raise _wrong("there is no question: the last message should be of role 'user'")
    if not turns[-1].question.strip() and not pictures:
        raise _wrong("the question is empty")
    several = ("of several pictures in the conversation, the newest is looked at",) if len(pictures) > 1 else ()
    picture = pictures[-1] if pictures else None
    return Conversation("\n".join(system).strip(), tuple(turns[:-1]), turns[-1].question, picture, several)


def _wrong(message: str) -> ApiError:
    return ApiError(400, message, "invalid_value", "messages")
