"""The text of an entry: its own, and all turns of its conversation."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from camml.formats._faults import BadEntry, keys_of, kind

IMAGE_MARK = "<image>"
TURNS = ("conversations", "messages")
"""Keys of conversations: LLaVA's, and that of chat interfaces."""


class Text(NamedTuple):
    """A text without its marks of images.

    Attributes:
      marked: there was one.
    """

    words: str
    marked: bool = False


TextOf = Callable[[Mapping[str, Any]], Text]


def plain_text(entry: Mapping[str, Any]) -> Text:
    """Return the text under the key `text`: a string, or a list of strings that are joined.

    It may be missing or null in a picture alone, which has no other keys that may hold its text.
    """
    if "text" not in entry:
        if entry.get("image") and entry.keys() <= {"id", "image", *TURNS}:
            return Text("")
        raise BadEntry(f"has no text; its keys are {keys_of(entry)}")
    text = entry["text"]
    if text is None and entry.get("image"):
        return Text("")
    if isinstance(text, list) and all(isinstance(part, str) for part in text):
        text = "".join(text)
    if not isinstance(text, str):
        raise BadEntry(f"its text is {kind(text)}; it must be a string or a list of strings")
    return Text(text.replace(IMAGE_MARK, "").strip(), IMAGE_MARK in text)


def text_of_turns(entry: Mapping[str, Any]) -> Text:
    """Join all turns of a conversation, as the official datastores have them: questions stripped, answers as is."""
    key = turns_key(entry)
    if key is None:
        raise BadEntry(f"has no conversations; its keys are {keys_of(entry)}")
    turns = entry[key]
    if not isinstance(turns, list):
        raise BadEntry(f"its {key} are {kind(turns)}; they must be a list of turns")
    parts, marked = [], False
    for number, turn in enumerate(turns, 1):
        answers, value = _turn(turn, number)
        marked = marked or IMAGE_MARK in value
        value = value.replace(IMAGE_MARK, "")
        parts.append(value if answers else value.strip())
    return Text("".join(parts).strip(), marked)


def any_text(entry: Mapping[str, Any]) -> Text:
    """Return the text, followed in a new line by the turns of the conversation, of those which there are."""
    key = spoken_key(entry)
    if key is None or entry[key] is None:
        return plain_text(entry)
    turns = text_of_turns(entry)
    if entry.get("text") is None:
        return turns
    text = plain_text(entry)
    # many tables repeat the conversation, or its first question, as the text
    words = turns.words if text.words in turns.words else f"{text.words}\n{turns.words}".strip()
    return Text(words, text.marked or turns.marked)


def turns_key(entry: Mapping[str, Any]) -> str | None:
    """Return the key of an entry's conversation, None where it has none; `messages` may also be metadata.

    Null under `conversations` is none where there are messages: tables give all keys to all of their rows.
    """
    if entry.get("conversations") is not None:
        return "conversations"
    messages = entry.get("messages")
    chat = isinstance(messages, list) and all(isinstance(turn, Mapping) and "role" in turn for turn in messages)
    if messages and chat:
        return "messages"
    return "conversations" if "conversations" in entry else None


def spoken_key(entry: Mapping[str, Any]) -> str | None:
    """Return the key of the conversation that is part of an entry's text, as `turns_key`.

    A conversation that cannot be parsed counts as metadata if the entry also has a text.
    """
    key, text = turns_key(entry), entry.get("text")
    if key is None or not isinstance(text, str) or not text.strip():
        return key
    try:
        text_of_turns(entry)
    except BadEntry:
        return None
    return key


def _turn(turn: object, number: int) -> tuple[bool, str]:
    """Return whether a turn is an answer, and what it says."""
    if isinstance(turn, Mapping) and turn.get("from") is None and turn.get("role") is not None:
        content = turn.get("content")
        content = "" if content is None and turn.get("tool_calls") else content
        if isinstance(content, list):
            content = joined(content, number)
        if not isinstance(content, str):
            raise BadEntry(f'turn {number} must be {{"role": "user" or "assistant", "content": "..."}} with a text')
        return turn["role"] == "assistant", content
    value = turn.get("value") if isinstance(turn, Mapping) else None
    if not isinstance(turn, Mapping) or not isinstance(value, str):
        raise BadEntry(f'turn {number} must be {{"from": "human" or "gpt", "value": "..."}} with a string')
    return turn.get("from") == "gpt", value


def joined(parts: Iterable[object], number: int) -> str:
    """Return the text of a turn that is given in parts; a picture that is named elsewhere is the mark of one.

    Args:
      number: that of the turn, for messages.

    Raises:
      BadEntry: a part is neither text nor such a picture.
    """
    return "".join(_part(part, number) for part in parts)


def _part(part: object, number: int) -> str:
    """Return the text of a part of a turn; a picture that is named elsewhere is the mark of one."""
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise BadEntry(f"turn {number} has a part that is {kind(part)}; write text")
    sort = part.get("type")
    if isinstance(part.get("text"), str) and sort in ("text", None):
        return str(part["text"])
    if sort not in ("image", "image_url"):
        raise BadEntry(f"turn {number} has a part that is not text ({sort!r}); leave it out")
    if any(value is not None for key, value in part.items() if key not in ("type", "text", "index")):
        raise BadEntry(f"turn {number} holds a picture; name it under image, beside the turns")
    return IMAGE_MARK
