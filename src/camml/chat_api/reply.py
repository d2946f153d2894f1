"""The reply of a chat endpoint: the answer in it, without what a reasoning model thought; or why there is none."""

import re
from dataclasses import dataclass, replace
from typing import Any

CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
"""Reasons to finish, in lower case, that mean: there was no room for the rest."""
_FILTERS = ("content_filter", "content_policy_violation", "safety", "recitation", "prohibited_content", "blocklist")
TOO_LONG = "context_length_exceeded"
"""The reason to finish that stands for a refusal: the model has no room for the question."""
WITHHELD = frozenset({*_FILTERS, "refusal", "error", TOO_LONG})
"""Reasons to finish that mean: what text there is, is not the model's answer."""

_TAG = r"think|thinking|thought|reasoning"
_MARK = re.compile(rf"<(/?)({_TAG})>", re.IGNORECASE)
_END_OF_THOUGHT = re.compile(rf"\A.*</({_TAG})>", re.DOTALL | re.IGNORECASE)
_UNFINISHED = re.compile(rf"<({_TAG})>.*", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, with the tokens of question and answer as the endpoint counts them; 0 where it does not say.

    Attributes:
      text: what the model said, without what it thought; also where it is of no use, see `lacking`.
      finish_reason: why the endpoint stopped, in its own word; empty where it does not say.
      left_out: settings the endpoint rejected, so its own defaults apply.
    """

    text: str
    prompt_tokens: int = 0
    new_tokens: int = 0
    finish_reason: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def cut(self) -> bool:
        """Return whether the reply ended for lack of room."""
        return self.finish_reason.lower() in CUT

    @property
    def too_long(self) -> bool:
        """Return whether the question was refused because it is too long for the model."""
        return self.finish_reason == TOO_LONG

    @property
    def lacking(self) -> str:
        """Return why this is no answer, with the finish_reason; empty where it is one."""
        withheld = self.finish_reason.lower() in WITHHELD
        if self.text and not self.cut and not withheld:
            return ""
        kind = "withheld" if withheld else "cut off" if self.text else "empty"
        return f"{kind} reply, finish_reason {self.finish_reason or 'not given'}"


def without_thoughts(text: str) -> str:
    """Return `text` without its thoughts, be they whole, begun in the prompt, or cut off."""
    text = _END_OF_THOUGHT.sub("", _without_whole(text))
    return _UNFINISHED.sub("", text).strip()


def _without_whole(text: str) -> str:
    """Return `text` without what stands from a mark of beginning to the next one of its end; in one pass."""
    marks = [(match.start(), match.end(), not match[1], match[2].lower()) for match in _MARK.finditer(text)]
    last = {tag: start for start, _, begins, tag in marks if not begins}
    pieces, place, within = [], 0, ""
    for start, end, begins, tag in marks:
        if within:
            if not begins and tag == within:
                place, within = end, ""
        elif begins and last.get(tag, -1) > start:
            pieces.append(text[place:start])
            within = tag
    return "".join([*pieces, text[place:]])


def fault_in(document: Any) -> dict[str, Any] | None:
    """Return the error in what an endpoint sent in place of an answer, or of its first choice; None without one.

    One in words alone is the message of an error that has nothing else.

    Example:
      >>> fault_in({"choices": [], "error": {"message": "overloaded", "code": 502}})
      {'message': 'overloaded', 'code': 502}
    """
    if not isinstance(document, dict):
        return None
    choices, fault = document.get("choices"), document.get("error")
    if isinstance(choices, list) and choices:
        choice = choices[0]
        broken = isinstance(choice, dict) and choice.get("finish_reason") == "error"
        fault = choice.get("error") if broken else None
    if isinstance(fault, str) and fault:
        return {"message": fault}
    return fault if isinstance(fault, dict) else None


def read(document: Any) -> Reply:
    """Return the reply in what an endpoint sent; one without any text is a reply, too.

    Raises:
      ValueError: this is not what chat endpoints send; the message has what an error in it says.
    """
    if not isinstance(document, dict) or not isinstance(choices := document.get("choices"), list):
        error = document.get("error") if isinstance(document, dict) else None
        if isinstance(error, dict):
            error = error.get("message")
        raise ValueError("the answer is not that of a chat endpoint" + (f": {str(error)[:200]}" if error else ""))
    usage = document.get("usage")
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    tokens = [count if isinstance(count, int) else 0 for count in counts]
    if not choices:
        return Reply("", tokens[0], tokens[1], "no choices")
    if not isinstance(choices[0], dict):
        raise ValueError("the answer is not that of a chat endpoint")
    return replace(_first(choices[0]), prompt_tokens=tokens[0], new_tokens=tokens[1])


def _first(choice: dict[str, Any]) -> Reply:
    """Return the reply in a choice, without its tokens."""
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    reason = choice.get("finish_reason")
    text = without_thoughts(_content(message.get("content")))
    if not text and message.get("refusal"):
        reason = "refusal"
    return Reply(text, finish_reason=reason if isinstance(reason, str) else "")


def _content(content: Any) -> str:
    """Return the text of a message's content: a text, or parts of which those of another kind are left out."""
    if isinstance(content, str):
        return content
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if part.get("type", "text") in ("text", "output_text"))
    return "".join(text for text in texts if isinstance(text, str))
