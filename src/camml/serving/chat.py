"""`/v1/chat/completions`: OpenAI's chat, with the evidence beside the answer."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from camml.serving.engines import Call, Piece, TokenLogprob
from camml.serving.interface import logprobs_of, new_router, reply_to
from camml.serving.links import Links
from camml.serving.replies import Reply, whole
from camml.serving.service import Evidence, Service
from camml.serving.streaming import sse
from camml.serving.wire import ChatBody


def router(service: Service, links: Links) -> APIRouter:
    """Return the route."""
    router = new_router()

    @router.post("/v1/chat/completions", response_class=JSONResponse)
    async def chat(body: ChatBody, request: Request) -> Response:
        """Answer the last question of a conversation, from samples that are found or given."""
        return await reply_to(service, links, body, request, _whole, _chunks)

    return router


async def _whole(reply: Reply) -> dict[str, Any]:
    """Return the whole answer as one document."""
    answers = await whole(reply)
    choices = [
        {
            "index": index,
            "message": {
                "role": "assistant",
                "content": None if answer.calls and not answer.text else answer.text,
                "refusal": None,
                "annotations": _annotations(reply, answer.text),
                **_calls(reply, index, answer.calls),
            },
            "logprobs": _logprobs(answer.logprobs, bool(reply.body.logprobs)),
            "finish_reason": answer.reason,
        }
        for index, answer in enumerate(answers)
    ]
    return _document(reply, "chat.completion", choices, usage=reply.usage(), **reply.shown(answers[0].text))


def _chunks(reply: Reply) -> tuple[Any, Any]:
    """Return what to stream of an answer.

    The first chunk carries the evidence, also as annotations; the one that ends an answer once more, marked. Clients
    add up what comes in `delta`, so that annotations come once.
    """
    counted = bool(reply.body.stream_options and reply.body.stream_options.include_usage)
    blank = {"usage": None} if counted else {}

    def chunk(choices: Sequence[dict[str, Any]], **more: Any) -> bytes:
        return sse(_document(reply, "chat.completion.chunk", choices, **{**blank, **more}))

    def say(event: Evidence | Piece) -> Iterator[bytes]:
        if isinstance(event, Evidence):
            delta = {"role": "assistant", "content": "", "annotations": _annotations(reply)}
            yield chunk([_choice(index, delta) for index in range(reply.body.n or 1)], **reply.shown())
        else:
            content = {"content": event.text} if event.text else {}
            delta = content | _calls(reply, event.index, event.calls, numbered=True)
            marked = reply.shown(reply.texts[event.index]) if event.finish_reason else {}
            asked = bool(reply.body.logprobs and event.text)
            yield chunk([_choice(event.index, delta, event.finish_reason, event.logprobs, asked)], **marked)

    def end(texts: Sequence[str]) -> Iterator[bytes]:
        if counted:
            yield chunk([], usage=reply.usage())
        yield b"data: [DONE]\n\n"

    return say, end


def _document(reply: Reply, kind: str, choices: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"id": f"chatcmpl-{reply.note['id']}", "object": kind, "created": reply.created,
            "model": reply.service.settings.served_name, "choices": choices, **more}  # fmt: skip


def _choice(
    index: int,
    delta: dict[str, Any],
    reason: str | None = None,
    logprobs: Sequence[TokenLogprob] = (),
    asked: bool = False,
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": _logprobs(logprobs, asked), "finish_reason": reason}


def _calls(reply: Reply, index: int, calls: Sequence[Call], numbered: bool = False) -> dict[str, Any]:
    """Return calls of tools as a field of a message, or none; numbered as streams have them."""
    documents = [
        ({"index": call.number} if numbered else {})
        | {
            "id": f"call_{reply.note['id']}_{index}_{call.number}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in calls
    ]
    return {"tool_calls": documents} if documents else {}


def _annotations(reply: Reply, answer: str | None = None) -> list[dict[str, Any]]:
    return [{"type": "url_citation", "url_citation": citation} for citation in reply.citations(answer)]


def _logprobs(tokens: Sequence[TokenLogprob], asked: bool) -> dict[str, Any] | None:
    """Return how likely tokens were; a refusal without a model has a list of none where they are asked for."""
    return {"content": logprobs_of(tokens), "refusal": None} if tokens or asked else None
