"""`/v1/responses`: OpenAI's newer interface; nothing is stored between two requests."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from camml.serving.engines import Call, Piece
from camml.serving.interface import chat_of, logprobs_of, new_router, reply_to, without
from camml.serving.links import Links
from camml.serving.messages import MOST_MESSAGES, ExtraFields, NoTruth, Text
from camml.serving.problems import ApiError
from camml.serving.replies import Reply, whole
from camml.serving.response_items import AnyItem, FlatTool, FlatToolChoice, messages_of, renamed
from camml.serving.service import Evidence, Service
from camml.serving.streaming import sse
from camml.serving.wire import ChatBody

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "background": (False,),
    "max_tool_calls": (),
    "previous_response_id": (),
    "conversation": (),
    "prompt": (),
    "reasoning": ({}, {"effort": "none"}),  # and nulls in it
    "truncation": ("disabled", "auto"),
    "messages": (),
    "response_format": ({"type": "text"},),
    "max_tokens": (),
    "max_completion_tokens": (),
    "logprobs": (False,),
    "n": (1,),
}
"""Fields that this server does not have, or only in chats, and the values that ask for nothing."""
LIKELY = "message.output_text.logprobs"
INCLUDED = (LIKELY, "reasoning.encrypted_content")
"""Values that `include` may have; this server has no reasoning, so that the second adds nothing."""
HERE = {
    "messages": "input", "response_format": "text.format", "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens", "logprobs": "include",
}  # fmt: skip
"""Fields of chats, by what they are here."""


class TextOptions(ExtraFields):
    """The form of the answer."""

    format: dict[str, Any] | None = None


class ResponsesBody(BaseModel):
    """A question as OpenAI's responses have it; all else is as in a chat."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    input: Text | Annotated[list[AnyItem], Field(min_length=1, max_length=MOST_MESSAGES, fail_fast=True)]
    instructions: Text | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=2**20), NoTruth] | None = None
    text: TextOptions | None = None
    tools: Annotated[list[FlatTool], Field(max_length=128, fail_fast=True)] | None = None
    tool_choice: FlatToolChoice | None = None
    parallel_tool_calls: bool | None = None

    def more(self) -> dict[str, Any]:
        """Return the fields that are as in a chat.

        Raises:
          ApiError: it has fields that this server does not have.
        """
        rest = dict(self.model_extra or {})
        if isinstance(reasoning := rest.get("reasoning"), dict):
            rest["reasoning"] = {name: value for name, value in reasoning.items() if value is not None}
        included = rest.pop("include", None) or []
        if not isinstance(included, list) or any(name not in INCLUDED for name in included):
            reason = f"include: this server has {' and '.join(INCLUDED)} to include, and no other"
            raise ApiError(400, reason, "unsupported_parameter", "include")
        given = without(rest, NEUTRAL, HERE)
        likely = LIKELY in included or given.get("top_logprobs") is not None
        return given | ({"logprobs": True} if likely else {})

    def chat(self, given: Mapping[str, Any]) -> ChatBody:
        """Return it as a chat.

        Args:
          given: the fields that are as there.

        Raises:
          ApiError: it has wrong values.
        """
        messages = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else messages_of(self.input)
        if self.instructions:
            messages = [{"role": "system", "content": self.instructions}, *messages]
        choice = self.tool_choice
        return chat_of({
            **given, "messages": messages, "max_completion_tokens": self.max_output_tokens, "n": 1,
            "response_format": self.text.format if self.text else None,
            "tools": [tool.chat() for tool in self.tools or ()], "parallel_tool_calls": self.parallel_tool_calls,
            "tool_choice": choice if isinstance(choice, str | None) else choice.chat(),
        })  # fmt: skip


def router(service: Service, links: Links) -> APIRouter:
    """Return the route."""
    router = new_router()

    @router.post("/v1/responses", response_class=JSONResponse)
    async def respond(body: ResponsesBody, request: Request) -> Response:
        """Answer the last question of a conversation, from samples that are found or given."""
        given = body.more()
        try:
            return await reply_to(
                service, links, body.chat(given), request,
                lambda reply: _whole(reply, body), lambda reply: _Stream(reply, body).parts(),
            )  # fmt: skip
        except ApiError as error:
            raise renamed(error) from None

    return router


async def _whole(reply: Reply, body: ResponsesBody) -> dict[str, Any]:
    [answer] = await whole(reply)
    return _document(reply, body, answer.text, answer.reason, logprobs_of(answer.logprobs))


class _Stream:
    """The events of one answer, numbered."""

    def __init__(self, reply: Reply, body: ResponsesBody) -> None:
        self._reply, self._body = reply, body
        self._number = 0
        self._announced = 0
        self._reason: str | None = None
        self._told: list[dict[str, Any]] = []
        self._sent = 0

    def parts(self) -> tuple[Any, Any]:
        """Return what to stream as `server_sent_events` takes it."""
        return self._say, self._end

    def _event(self, kind: str, **more: Any) -> bytes:
        document = {"type": kind, "sequence_number": self._number, **more}
        self._number += 1
        return sse(document, kind)

    def _place(self) -> dict[str, Any]:
        """Return where the text of the answer is."""
        item = f"msg_{self._reply.note['id']}"
        return {"item_id": item, "output_index": self._reply.said[0].index(None), "content_index": 0}

    def _say(self, event: Evidence | Piece) -> Iterator[bytes]:
        if isinstance(event, Evidence):
            begun = _document(self._reply, self._body, None, None)
            yield self._event("response.created", response=begun)
            yield self._event("response.in_progress", response=begun)
            return
        self._reason = event.finish_reason
        self._told += logprobs_of(event.logprobs)
        yield from self._announce()
        if event.text or (event.finish_reason and self._sent < len(self._told) and None in self._reply.said[0]):
            logprobs, self._sent = self._told[self._sent :], len(self._told)
            yield self._event("response.output_text.delta", **self._place(), delta=event.text, logprobs=logprobs)

    def _announce(self) -> Iterator[bytes]:
        """Tell of what has begun: calls, which come whole, and the text."""
        parts = self._reply.said[0]
        for place in range(self._announced, len(parts)):
            call = parts[place]
            if call is None:
                item = {**_message(self._reply, "", "in_progress"), "content": []}
                yield self._event("response.output_item.added", output_index=place, item=item)
                part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
                yield self._event("response.content_part.added", **self._place(), part=part)
                continue
            where = {"item_id": _call(self._reply, call)["id"], "output_index": place}
            begun = {**_call(self._reply, call), "arguments": "", "status": "in_progress"}
            yield self._event("response.output_item.added", output_index=place, item=begun)
            yield self._event("response.function_call_arguments.delta", **where, delta=call.arguments)
            yield self._event(
                "response.function_call_arguments.done", **where, name=call.name, arguments=call.arguments
            )
            yield self._event("response.output_item.done", output_index=place, item=_call(self._reply, call))
        self._announced = len(parts)

    def _end(self, texts: Sequence[str]) -> Iterator[bytes]:
        yield from self._announce()
        document = _document(self._reply, self._body, texts[0], self._reason, self._told)
        if None in self._reply.said[0]:
            yield from self._end_text(texts[0], document["output"])
        yield self._event(f"response.{document['status']}", response=document)

    def _end_text(self, text: str, output: Sequence[dict[str, Any]]) -> Iterator[bytes]:
        place = self._place()
        message = output[place["output_index"]]
        [part] = message["content"]
        yield self._event("response.output_text.done", **place, text=text, logprobs=self._told)
        for number, annotation in enumerate(part["annotations"]):
            yield self._event(
                "response.output_text.annotation.added", **place, annotation_index=number, annotation=annotation
            )
        yield self._event("response.content_part.done", **place, part=part)
        yield self._event("response.output_item.done", output_index=place["output_index"], item=message)


def _status(reason: str | None) -> str:
    return "incomplete" if reason == "length" else "completed"


def _message(reply: Reply, text: str, status: str, logprobs: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    annotations = [{"type": "url_citation", **citation} for citation in reply.citations(text)]
    content = {"type": "output_text", "text": text, "annotations": annotations, "logprobs": list(logprobs)}
    return {
        "type": "message",
        "id": f"msg_{reply.note['id']}",
        "status": status,
        "role": "assistant",
        "content": [content],
    }


def _call(reply: Reply, call: Call) -> dict[str, Any]:
    number = f"{reply.note['id']}_{call.number}"
    return {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": call.name,
            "arguments": call.arguments, "status": "completed"}  # fmt: skip


def _choice(body: ResponsesBody) -> Any:
    choice = body.tool_choice
    return choice or "auto" if isinstance(choice, str | None) else choice.model_dump()


def _output(reply: Reply, text: str, reason: str | None, logprobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return calls and the text in the order in which they came."""
    return [_call(reply, part) if part else _message(reply, text, _status(reason), logprobs) for part in reply.said[0]]


def _document(
    reply: Reply, body: ResponsesBody, text: str | None, reason: str | None, told: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Return the response; `text` is None where it has only begun.

    Args:
      told: how likely the tokens of the text were.
    """
    chat, usage = reply.body, reply.usage()
    status = "in_progress" if text is None else _status(reason)
    return {
        "id": f"resp_{reply.note['id']}", "object": "response", "created_at": reply.created, "status": status,
        "error": None, "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": body.instructions, "max_output_tokens": body.max_output_tokens,
        "model": reply.service.settings.served_name,
        "output": [] if text is None else _output(reply, text, reason, told),
        "parallel_tool_calls": body.parallel_tool_calls is not False, "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False, "temperature": chat.temperature or 0.0, "top_p": 1.0 if chat.top_p is None else chat.top_p,
        "top_logprobs": chat.top_logprobs or 0,
        "text": {"format": chat.response_format or {"type": "text"}},
        "tool_choice": _choice(body),
        "tools": [tool.model_dump() for tool in body.tools or ()], "truncation": "disabled",
        "metadata": (body.model_extra or {}).get("metadata") or {},
        "usage": None if text is None else {
            "input_tokens": usage["prompt_tokens"], "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"], "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
        **reply.shown(text),
    }  # fmt: skip
