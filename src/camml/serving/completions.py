"""`/v1/completions`: the older interface, whose prompt is taken as a question."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from camml.errors import InputError
from camml.serving.engines import Piece, TokenLogprob
from camml.serving.interface import chat_of, new_router, reply_to, without
from camml.serving.links import Links
from camml.serving.messages import Text, Tokens, kind_of_input
from camml.serving.problems import ApiError, about
from camml.serving.replies import Reply, whole
from camml.serving.response_items import renamed
from camml.serving.service import Evidence, Service
from camml.serving.streaming import sse
from camml.serving.wire import ChatBody

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "echo": (False,), "suffix": ("",), "tools": ([],), "tool_choice": ("none", "auto"),
    "functions": ([],), "function_call": ("none", "auto"), "parallel_tool_calls": (True, False),
    "messages": (), "top_logprobs": (),
}  # fmt: skip
"""Fields of the older interface, and of chats, that are not here, and the values that ask for nothing."""
HERE = {"messages": "prompt", "top_logprobs": "logprobs"}
"""Fields of chats, by what they are here."""


def _alone(prompts: Any) -> Any:
    """Return a list of prompts.

    Raises:
      PydanticCustomError: there are several.
    """
    if isinstance(prompts, list) and len(prompts) > 1:
        message = "this server answers one prompt a request; send a request for each of the {count}"
        raise PydanticCustomError("too_many_prompts", message, {"count": len(prompts)})
    return prompts


class CompletionBody(BaseModel):
    """A prompt as OpenAI's completions have it; all else is as in a chat."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    prompt: Annotated[
        Annotated[Text, Tag("text")]
        | Annotated[Tokens, Tag("tokens")]
        | Annotated[list[Text | Tokens], Field(min_length=1), BeforeValidator(_alone), Tag("list")],
        Discriminator(kind_of_input),
    ] = Field(description="one text, or its tokens; also as a list of one")
    logprobs: int | bool | None = Field(None, ge=0, le=20)

    @property
    def given(self) -> str | list[int]:
        """Return the prompt, a text or its tokens."""
        if isinstance(self.prompt, list) and not isinstance(self.prompt[0], int):
            return self.prompt[0]
        return self.prompt

    def chat(self, prompt: str) -> ChatBody:
        """Return it as a chat with one question.

        Raises:
          ApiError: it has fields that this server does not have, or wrong values.
        """
        many = (self.model_extra or {}).get("n") or 1
        given = without(self.model_extra, {**NEUTRAL, "best_of": (1, many)}, HERE)
        if self.logprobs is not None and self.logprobs is not False:
            given |= {"logprobs": True, "top_logprobs": int(self.logprobs)}
        return chat_of({**given, "messages": [{"role": "user", "content": prompt}]})


def router(service: Service, links: Links) -> APIRouter:
    """Return the route."""
    router = new_router()

    @router.post("/v1/completions", response_class=JSONResponse)
    async def complete(body: CompletionBody, request: Request) -> Response:
        """Answer a prompt as a question, from samples that are found or given."""
        prompt = body.given
        if not isinstance(prompt, str):
            try:
                prompt = await service.thread(service.engine.text_of, prompt)
            except InputError as error:
                raise about("prompt", error) from None
        chat = body.chat(prompt)
        try:
            return await reply_to(service, links, chat, request, _whole, _chunks)
        except ApiError as error:
            raise renamed(error, HERE) from None

    return router


async def _whole(reply: Reply) -> dict[str, Any]:
    answers = await whole(reply)
    asked = reply.body.logprobs
    choices = [
        _choice(index, answer.text, answer.reason, answer.logprobs, bool(asked)) for index, answer in enumerate(answers)
    ]
    return _document(reply, choices, usage=reply.usage(), **reply.shown(answers[0].text))


def _chunks(reply: Reply) -> tuple[Any, Any]:
    counted = bool(reply.body.stream_options and reply.body.stream_options.include_usage)

    def say(event: Evidence | Piece) -> Iterator[bytes]:
        if isinstance(event, Evidence):
            choices = [_choice(index, "", None, ()) for index in range(reply.body.n or 1)]
            yield sse(_document(reply, choices, **reply.shown()))
        else:
            marked = reply.shown(reply.texts[event.index]) if event.finish_reason else {}
            asked = bool(reply.body.logprobs and event.text)
            choice = _choice(event.index, event.text, event.finish_reason, event.logprobs, asked)
            yield sse(_document(reply, [choice], **marked))

    def end(texts: Sequence[str]) -> Iterator[bytes]:
        if counted:
            yield sse(_document(reply, [], usage=reply.usage()))
        yield b"data: [DONE]\n\n"

    return say, end


def _document(reply: Reply, choices: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"id": f"cmpl-{reply.note['id']}", "object": "text_completion", "created": reply.created,
            "model": reply.service.settings.served_name, "choices": choices, **more}  # fmt: skip


def _choice(
    index: int, text: str, reason: str | None, told: Sequence[TokenLogprob], asked: bool = False
) -> dict[str, Any]:
    """Return an answer; a refusal without a model has no tokens, and a list of none where they are asked for."""
    logprobs = {
        "tokens": [token.token for token in told],
        "token_logprobs": [token.logprob for token in told],
        "top_logprobs": [dict(token.top) for token in told],
        "text_offset": [sum(len(other.token) for other in told[:place]) for place in range(len(told))],
    }
    return {"index": index, "text": text, "logprobs": logprobs if told or asked else None, "finish_reason": reason}
