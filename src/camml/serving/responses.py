"""`/v1/responses`: OpenAI's newer interface, for texts and pictures; nothing is stored between two requests."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from camml.serving.engines import Piece
from camml.serving.interface import chat_of, new_router, reply_to, without
from camml.serving.links import Links
from camml.serving.messages import ExtraFields, Text
from camml.serving.problems import ApiError
from camml.serving.replies import Reply, whole
from camml.serving.service import Evidence, Service
from camml.serving.streaming import sse
from camml.serving.wire import ChatBody

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "background": (False,),
    "include": ([], ["message.output_text.logprobs"]),
    "max_tool_calls": (),
    "previous_response_id": (),
    "conversation": (),
    "prompt": (),
    "reasoning": ({}, {"effort": "none"}),
    "truncation": ("disabled", "auto"),
}
"""Fields that this server does not have, and the values that ask for nothing."""


class InputPart(ExtraFields):
    """A piece of a message: a text, or a picture."""

    type: Literal["input_text", "output_text", "input_image"]
    text: Text = ""
    image_url: str | None = None

    def chat(self) -> dict[str, Any]:
        """Return it as chats have it.

        Raises:
          ApiError: a picture without an address.
        """
        if self.type != "input_image":
            return {"type": "text", "text": self.text}
        if not self.image_url:
            raise ApiError(400, "a picture comes as image_url; files are not kept here", "invalid_value", "input")
        return {"type": "image_url", "image_url": {"url": self.image_url}}


class Item(ExtraFields):
    """A message of the conversation."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[InputPart], Field(max_length=64, fail_fast=True)]

    def chat(self) -> dict[str, Any]:
        """Return it as chats have it."""
        content = self.content if isinstance(self.content, str) else [part.chat() for part in self.content]
        return {"role": self.role, "content": content}


class TextOptions(ExtraFields):
    """The form of the answer."""

    format: dict[str, Any] | None = None


class ResponsesBody(BaseModel):
    """A question as OpenAI's responses have it; all else is as in a chat."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    input: Text | Annotated[list[Item], Field(min_length=1, max_length=256, fail_fast=True)]
    instructions: Text | None = None
    max_output_tokens: int | None = Field(None, ge=1, le=2**20)
    text: TextOptions | None = None

    def chat(self) -> ChatBody:
        """Return it as a chat.

        Raises:
          ApiError: it has fields that this server does not have, or wrong values.
        """
        given = without(self.model_extra, NEUTRAL)
        said = (
            [{"role": "user", "content": self.input}] if isinstance(self.input, str) else [i.chat() for i in self.input]
        )
        if self.instructions:
            said = [{"role": "system", "content": self.instructions}, *said]
        return chat_of({
            **given, "messages": said, "max_completion_tokens": self.max_output_tokens, "n": 1,
            "response_format": self.text.format if self.text else None,
        })  # fmt: skip


def router(service: Service, links: Links) -> APIRouter:
    """Return the route."""
    router = new_router()

    @router.post("/v1/responses", response_class=JSONResponse)
    async def respond(body: ResponsesBody, request: Request) -> Response:
        """Answer the last question of a conversation, from samples that are found or given."""
        return await reply_to(
            service, links, body.chat(), request,
            lambda reply: _whole(reply, body), lambda reply: _Stream(reply, body).parts(),
        )  # fmt: skip

    return router


async def _whole(reply: Reply, body: ResponsesBody) -> dict[str, Any]:
    [answer] = await whole(reply)
    return _document(reply, body, answer.text, answer.reason)


class _Stream:
    """The events of one answer, numbered."""

    def __init__(self, reply: Reply, body: ResponsesBody) -> None:
        self._reply, self._body = reply, body
        self._number = 0
        self._reason: str | None = None

    def parts(self) -> tuple[Any, Any]:
        """Return what to stream as `told` takes it."""
        return self._say, self._end

    def _event(self, kind: str, **more: Any) -> bytes:
        document = {"type": kind, "sequence_number": self._number, **more}
        self._number += 1
        return sse(document, kind)

    def _place(self) -> dict[str, Any]:
        return {"item_id": f"msg_{self._reply.note['id']}", "output_index": 0, "content_index": 0}

    def _say(self, event: Evidence | Piece) -> Iterator[bytes]:
        if isinstance(event, Evidence):
            begun = _document(self._reply, self._body, None, None)
            yield self._event("response.created", response=begun)
            yield self._event("response.in_progress", response=begun)
            item = {**_message(self._reply, "", "in_progress"), "content": []}
            yield self._event("response.output_item.added", output_index=0, item=item)
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            yield self._event("response.content_part.added", **self._place(), part=part)
            return
        self._reason = event.finish_reason
        if event.text:
            yield self._event("response.output_text.delta", **self._place(), delta=event.text, logprobs=[])

    def _end(self, texts: Sequence[str]) -> Iterator[bytes]:
        message = _message(self._reply, texts[0], _status(self._reason))
        part = message["content"][0]
        yield self._event("response.output_text.done", **self._place(), text=texts[0], logprobs=[])
        for number, annotation in enumerate(part["annotations"]):
            yield self._event(
                "response.output_text.annotation.added", **self._place(), annotation_index=number, annotation=annotation
            )
        yield self._event("response.content_part.done", **self._place(), part=part)
        yield self._event("response.output_item.done", output_index=0, item=message)
        document = _document(self._reply, self._body, texts[0], self._reason)
        yield self._event(f"response.{document['status']}", response=document)


def _status(reason: str | None) -> str:
    return "incomplete" if reason == "length" else "completed"


def _message(reply: Reply, text: str, status: str) -> dict[str, Any]:
    annotations = [{"type": "url_citation", **citation} for citation in reply.citations(text)]
    content = {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}
    return {
        "type": "message",
        "id": f"msg_{reply.note['id']}",
        "status": status,
        "role": "assistant",
        "content": [content],
    }


def _document(reply: Reply, body: ResponsesBody, text: str | None, reason: str | None) -> dict[str, Any]:
    """Return the response; `text` is None where it has only begun."""
    chat, usage = reply.body, reply.usage()
    status = "in_progress" if text is None else _status(reason)
    return {
        "id": f"resp_{reply.note['id']}", "object": "response", "created_at": reply.created, "status": status,
        "error": None, "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": body.instructions, "max_output_tokens": body.max_output_tokens,
        "model": reply.service.settings.served_name,
        "output": [] if text is None else [_message(reply, text, status)],
        "parallel_tool_calls": False, "previous_response_id": None, "reasoning": {"effort": None, "summary": None},
        "store": False, "temperature": chat.temperature or 0.0, "top_p": 1.0 if chat.top_p is None else chat.top_p,
        "text": {"format": chat.response_format or {"type": "text"}}, "tool_choice": "none", "tools": [],
        "truncation": "disabled", "metadata": {},
        "usage": None if text is None else {
            "input_tokens": usage["prompt_tokens"], "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"], "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
        **reply.shown(text),
    }  # fmt: skip
