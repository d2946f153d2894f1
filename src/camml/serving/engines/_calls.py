"""Calls of tools: how a model's chat template writes them, and how they are read from its answers.

Templates do not say what form of calls a model was trained on, but they write calls that were made before in that form:
so a call is written with the template, and looked at.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from camml.serving.engines import Call, Piece

Template = Callable[[list[dict[str, Any]], list[dict[str, Any]]], str]
"""Messages and tools to a prompt."""

NAME, ASKED, RESULT, ARGUMENTS = "probe_tool", "probe question", "probe result", {"probe_key": "probe value"}
TOOL = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "probe",
        "parameters": {"type": "object", "properties": {"probe_key": {"type": "string", "description": "probe"}}},
    },
}
CALL_ID = "probe0001"
"""Nine letters and digits: templates of Mistral take no others."""

_MARK = r"(?:<[^<>\s]{1,40}>|\[[A-Z_]{1,40}\])"
_JSON = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class CallForm:
    """The form of a call: JSON with a name and arguments, between two marks, or without any as all of an answer."""

    begin: str = ""
    end: str = ""


def form_of(template: Template, skipped: Collection[str]) -> CallForm | None:
    """Return the form of a model's calls; None where its template knows no tools, or writes calls in another form.

    Args:
      skipped: tokens that are left out of the text of an answer.
    """
    call = {"id": CALL_ID, "type": "function", "function": {"name": NAME, "arguments": ARGUMENTS}}
    asked = {"role": "user", "content": ASKED}
    made = {"role": "assistant", "content": "", "tool_calls": [call]}
    result = {"role": "tool", "name": NAME, "tool_call_id": CALL_ID, "content": RESULT}
    try:
        offered = template([asked], [TOOL])
        whole = template([asked, made, result], [TOOL])
    except Exception:  # whatever a template does with what it does not know
        return None
    if NAME not in offered or RESULT not in whole:
        return None
    text = whole[whole.rfind(ASKED) + len(ASKED) : whole.rfind(RESULT)]
    for place in (match.start() for match in re.finditer(r"[{\[]", text)):
        try:
            value, size = _JSON.raw_decode(text[place:])
        except ValueError:
            continue
        if calls_in(value) == [(NAME, ARGUMENTS)]:
            begin = re.search(rf"({_MARK})\s*$", text[:place])
            end = re.match(rf"\s*({_MARK})", text[place + size :])
            if begin is None or begin[1] in skipped:
                return CallForm()
            return CallForm(begin[1], end[1] if end is not None and end[1] not in skipped else "")
    return None


def calls_in(value: Any) -> list[tuple[str, dict[str, Any]]] | None:
    """Return the names and arguments of the calls in a document; None where it is anything else."""
    calls = []
    for call in value if isinstance(value, list) else [value]:
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            return None
        arguments = call.get("arguments", call.get("parameters", {}))
        if not isinstance(arguments, dict):
            return None
        calls.append((call["name"], arguments))
    return calls or None


class CallReader:
    """One answer, from which calls are taken out while it comes.

    Args:
      names: of the tools there are. JSON without marks is a call only where it names one of them.
      single: only the first call counts.
    """

    def __init__(self, form: CallForm, names: Collection[str], single: bool = False) -> None:
        self._form = form
        self._names = names
        self._single = single
        self._text = ""  # not yet shown
        self._begun = False
        self._count = 0

    def read(self, piece: Piece) -> Piece:
        """Return a piece of the answer without calls in its text, but with those that are complete."""
        self._text += piece.text
        done = piece.finish_reason is not None
        calls: list[Call] = []
        shown = "".join(self._parts(done, calls))
        shown = shown if self._begun else shown.lstrip()
        self._begun = self._begun or bool(shown)
        reason = "tool_calls" if piece.finish_reason == "stop" and self._count else piece.finish_reason
        return replace(piece, text=shown.rstrip() if done else shown, finish_reason=reason, calls=tuple(calls))

    def _parts(self, done: bool, calls: list[Call]) -> Iterator[str]:
        """Yield the text that can be shown, and add the calls that are complete."""
        if not self._form.begin:
            yield self._alone(done, calls)
            return
        begin, end = self._form.begin, self._form.end
        while begin in self._text:
            before, _, inner = self._text.partition(begin)
            said, closed, rest = inner.partition(end) if end else (inner, "", "")
            if not closed and not done:
                yield self._show(before.rstrip())  # the mark stays
                return
            calls_read = _read(said, None)
            yield before.rstrip() if calls_read else before + begin + said + closed
            self._add(calls_read or [], calls)
            self._text = rest
        held = 0 if done else max((n for n in range(1, len(begin)) if self._text.endswith(begin[:n])), default=0)
        ready = self._text[: len(self._text) - held]
        yield self._show(ready if done else ready.rstrip())

    def _alone(self, done: bool, calls: list[Call]) -> str:
        """Return what can be shown of an answer which is a call if all of it is one."""
        if self._begun or not self._text.lstrip().startswith(("{", "[")):
            return self._show(self._text)
        if not done:
            return ""
        if calls_read := _read(self._text, self._names):
            self._add(calls_read, calls)
            self._text = ""
        return self._show(self._text)

    def _show(self, text: str) -> str:
        self._text = self._text[len(text) :]
        return text

    def _add(self, new: Sequence[tuple[str, dict[str, Any]]], calls: list[Call]) -> None:
        for name, arguments in new:
            if not (self._single and self._count):
                calls.append(Call(self._count, name, json.dumps(arguments, ensure_ascii=False)))
                self._count += 1


def _read(text: str, names: Collection[str] | None) -> list[tuple[str, dict[str, Any]]] | None:
    """Return the calls that a text is, one behind the other; None where there is anything else in it.

    Args:
      names: that calls may have; None for any.
    """
    read: list[tuple[str, dict[str, Any]]] = []
    while text := text.lstrip(" \t\r\n;"):
        try:
            value, size = _JSON.raw_decode(text)
        except (ValueError, RecursionError):
            return None
        calls = calls_in(value)
        if calls is None or (names is not None and any(name not in names for name, _ in calls)):
            return None
        read += calls
        text = text[size:]
    return read or None
