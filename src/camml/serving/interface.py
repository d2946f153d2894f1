"""The ways in and out that all interfaces to a chat share: a question in, one document or a stream of events out."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from camml.errors import TooLargeError, TooLongError
from camml.serving.bodies import CheckedRoute, first_mistake
from camml.serving.engines import TokenLogprob
from camml.serving.links import Links
from camml.serving.problems import ApiError, of_exception
from camml.serving.questions import check
from camml.serving.replies import Reply, server_sent_events
from camml.serving.service import Service
from camml.serving.streaming import EventStream, first_then_rest, until_gone
from camml.serving.wire import ChatBody, ErrorOut

Whole = Callable[[Reply], Coroutine[Any, Any, dict[str, Any]]]
"""The whole answer as one document."""
Chunks = Callable[[Reply], tuple[Any, Any]]
"""The pieces of an answer and their form, as `server_sent_events` takes them."""


ANSWER: dict[str, Any] = {
    "description": "The answer, in OpenAI's form; events where `stream` is true",
    "content": {
        "application/json": {"schema": {"type": "object"}},
        "text/event-stream": {"schema": {"type": "string"}},
    },
}


def new_router() -> APIRouter:
    """Return a router for the routes of an interface."""
    return APIRouter(
        route_class=CheckedRoute,
        tags=["chat"],
        responses={200: ANSWER, "4XX": {"model": ErrorOut}, "5XX": {"model": ErrorOut}},
    )


async def reply_to(
    service: Service, links: Links, chat: ChatBody, request: Request, whole: Whole, chunks: Chunks
) -> Response:
    """Return the answer to a chat, as a document or as a stream, whichever it asks for.

    Raises:
      ApiError: this server does not do what it asks for, or the conversation is too long.
    """
    check(service, chat)
    reply = Reply(service, chat, links.at(request), request.scope["camml"])
    try:
        if chat.stream:
            return EventStream(await first_then_rest(request, server_sent_events(reply, *chunks(reply))))
        return JSONResponse(await until_gone(request.receive, whole(reply)))
    except (TooLargeError, TooLongError) as error:  # here, where other interfaces give its field their own name
        raise of_exception(error) from None


def without(
    given: Mapping[str, Any] | None, neutral: Mapping[str, tuple[Any, ...]], here: Mapping[str, str]
) -> dict[str, Any]:
    """Return fields without those that an interface knows and this server does not have.

    Args:
      neutral: these, and the values of each that ask for nothing.
      here: what the interface has in place of some of them.

    Raises:
      ApiError: one of them asks for something.
    """
    rest = dict(given or {})
    for name, values in neutral.items():
        value = rest.pop(name, None)
        if value is not None and value not in values:
            elsewhere = "; chats and responses call tools" if "tool" in name or "function" in name else ""
            instead = f"; here it is {here[name]!r}" if name in here else elsewhere
            raise ApiError(400, f"this interface has no {name!r}{instead}", "unsupported_parameter", name)
    return rest


def logprobs_of(tokens: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    """Return how likely tokens were, as chats and responses have it."""

    def entry(token: str, logprob: float) -> dict[str, Any]:
        return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}

    return [
        {**entry(token.token, token.logprob), "top_logprobs": [entry(*other) for other in token.top]}
        for token in tokens
    ]


def chat_of(document: dict[str, Any]) -> ChatBody:
    """Return what another interface was asked as a chat.

    Raises:
      ApiError: a value of it does not fit.
    """
    try:
        return ChatBody.model_validate(document)
    except ValidationError as error:
        mistakes = [{**mistake, "loc": ("body", *mistake["loc"])} for mistake in error.errors()]
        raise first_mistake(mistakes, document) from None
