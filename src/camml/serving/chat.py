"""`/v1/chat/completions`: OpenAI's chat, with the evidence beside the answer."""

import json
import math
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from camml.answering import Decoding
from camml.errors import SampleError
from camml.serving import conversation, scratch
from camml.serving.bodies import CheckedRoute
from camml.serving.conversation import Conversation
from camml.serving.engines import Piece
from camml.serving.links import Links
from camml.serving.problems import ApiError, of_exception
from camml.serving.service import Evidence, Question, Service
from camml.serving.streaming import EventStream, first_then_rest, until_gone
from camml.serving.wire import ChatBody, ErrorOut, GivenSample
from camml.types import Context, Neighbor, Query, Sample

COLDEST = 1e-3
"""A temperature or share of probability below this is greedy decoding, without numbers too large to compute with."""

ENDS_OF_LINES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"}
"""What JSON may hold as it is, and clients that read events line by line take for the end of one."""


@dataclass(slots=True)
class Reply:
    """An answer under way: what its documents have in common, and what is counted."""

    service: Service
    body: ChatBody
    links: Links
    note: dict[str, Any]
    started: float = field(default_factory=time.perf_counter)
    created: int = field(default_factory=lambda: int(time.time()))
    evidence: Evidence | None = None
    first: float = math.nan
    tokens: dict[int, int] = field(default_factory=dict)

    async def events(self) -> AsyncGenerator[Evidence | Piece, None]:
        """The evidence, then the pieces, counted; there is room for the answer until this is closed."""
        with self.service.answers.enter(self.body.n or 1), scratch.folder() as folder:
            said = conversation.read(self.body.messages)
            given = [sample.image_url for sample in self.body.samples or [] if sample.image_url is not None]
            shown = given if said.picture is None else [said.picture, *given]
            data = await self.service.read(shown)
            question = await self.service.look(_question, self, said, data, Path(folder))
            async with aclosing(self.service.ask(question)) as events:
                try:
                    async for event in events:
                        self._count(event)
                        yield event
                finally:
                    self._note()

    def _count(self, event: Evidence | Piece) -> None:
        if isinstance(event, Evidence):
            self.evidence = event
            return
        self.tokens[event.index] = event.new_tokens
        metrics, now = self.service.metrics, time.perf_counter()
        if math.isnan(self.first):
            self.first = now
            metrics.first_token.observe(now - self.started)
        if event.finish_reason and event.new_tokens > 1 and now > self.first:
            metrics.token_rate.observe((event.new_tokens - 1) / (now - self.first))

    def _note(self) -> None:
        if self.evidence is None:
            return
        read, said = self.evidence.prepared.prompt_tokens, sum(self.tokens.values())
        self.service.metrics.prompt_tokens.inc(read)
        self.service.metrics.new_tokens.inc(said)
        self.note |= {"store": self.evidence.store, "shots": len(self.evidence.context), "prompt_tokens": read,
                      "new_tokens": said, "retrieval_ms": round(1000 * self.evidence.retrieval_seconds, 1)}  # fmt: skip
        if not math.isnan(self.first):
            self.note["first_token_ms"] = round(1000 * (self.first - self.started), 1)

    def document(self, kind: str, choices: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """A document of OpenAI's kind."""
        return {"id": f"chatcmpl-{self.note['id']}", "object": kind, "created": self.created,
                "model": self.service.settings.served_name, "choices": choices, **more}  # fmt: skip

    def usage(self) -> dict[str, int]:
        """The tokens of prompt and answers."""
        read = self.evidence.prepared.prompt_tokens if self.evidence else 0
        said = sum(self.tokens.values())
        return {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}

    def shown(self) -> dict[str, Any]:
        """The evidence as the answer carries it."""
        assert self.evidence is not None
        where = self.evidence.store or _store(self)
        context = [self.links.found(neighbor, where) for neighbor in self.evidence.context]
        facts = {"notes": list(self.evidence.notes), "refused": bool(self.evidence.refusal)}
        return {"context": [sample.model_dump() for sample in context], **facts}


def router(service: Service, links: Links) -> APIRouter:
    """The route."""
    router = APIRouter(
        route_class=CheckedRoute, tags=["chat"], responses={"4XX": {"model": ErrorOut}, "5XX": {"model": ErrorOut}}
    )

    @router.post("/v1/chat/completions", response_class=JSONResponse)
    async def chat(body: ChatBody, request: Request) -> Response:
        """Answer the last question of a conversation, from samples that are found or given."""
        _check(service, body)
        reply = Reply(service, body, links.at(request), request.scope["camml"])
        if body.stream:
            return EventStream(await first_then_rest(request, _chunks(reply)))
        return JSONResponse(await until_gone(request.receive, _whole(reply)))

    return router


def _check(service: Service, body: ChatBody) -> None:
    """Raise an ApiError for what this server does not do."""
    name = service.settings.served_name
    if body.model != name:
        raise ApiError(404, f"no model {body.model!r} here; there is: {name}", "model_not_found", "model")
    if (unsupported := body.unsupported()) is not None:
        raise ApiError(400, f"this server has no {unsupported!r}", "unsupported_parameter", unsupported)
    if (body.n or 1) > service.engine.slots:
        raise ApiError(400, f"n may be at most {service.engine.slots} here", "invalid_value", "n")


async def _whole(reply: Reply) -> dict[str, Any]:
    """The whole answer as one document."""
    texts = [""] * (reply.body.n or 1)
    reasons: list[str | None] = [None] * len(texts)
    async with aclosing(reply.events()) as events:
        async for event in events:
            if isinstance(event, Piece):
                texts[event.index] += event.text
                reasons[event.index] = event.finish_reason
    _log_content(reply, texts)
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": None,
            "finish_reason": reason,
        }
        for index, (text, reason) in enumerate(zip(texts, reasons, strict=True))
    ]
    return reply.document("chat.completion", choices, usage=reply.usage(), **reply.shown())


async def _chunks(reply: Reply) -> AsyncGenerator[bytes, None]:
    """The answer as server-sent events; the first carries the evidence."""
    counted = bool(reply.body.stream_options and reply.body.stream_options.include_usage)
    blank = {"usage": None} if counted else {}
    texts = [""] * (reply.body.n or 1)

    def chunk(choices: Sequence[dict[str, Any]], **more: Any) -> bytes:
        return _event(reply.document("chat.completion.chunk", choices, **{**blank, **more}))

    async with aclosing(reply.events()) as events:
        begun = False
        try:
            async for event in events:
                if isinstance(event, Evidence):
                    begun = True
                    delta = {"role": "assistant", "content": ""}
                    yield chunk([_choice(index, delta) for index in range(len(texts))], **reply.shown())
                else:
                    texts[event.index] += event.text
                    delta = {"content": event.text} if event.text else {}
                    yield chunk([_choice(event.index, delta, event.finish_reason)])
        except Exception as error:
            if not begun:
                raise
            # the status is sent: what is left is to say so in the stream
            yield _event(of_exception(error).body())
            return
    _log_content(reply, texts)
    if counted:
        yield chunk([], usage=reply.usage())
    yield b"data: [DONE]\n\n"


def _choice(index: int, delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


def _event(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False).translate(ENDS_OF_LINES)
    return b"data: " + text.encode("utf-8", "replace") + b"\n\n"


def _question(reply: Reply, said: Conversation, data: Mapping[str, bytes], folder: Path) -> Question:
    """What is asked, with its pictures opened; given ones are kept in `folder`. Blocks.

    Args:
      data: the pictures' bytes by their addresses.
    """
    body, service = reply.body, reply.service
    picture = None if said.picture is None else service.pictures.decode(data[said.picture])
    asked = body.max_completion_tokens or body.max_tokens
    temperature, top_p = body.temperature or 0.0, 1.0 if body.top_p is None else body.top_p
    greedy = temperature < COLDEST or top_p < COLDEST
    decoding = Decoding(
        asked or service.settings.max_new_tokens,
        0.0 if greedy else temperature,
        1.0 if greedy else top_p,
        body.seed,
    )
    return Question(
        Query(said.question, picture), decoding, said.history, said.system, _store(reply), body.shots, body.mode,
        body.filter, None if body.samples is None else _given(reply, body.samples, data, folder),
        body.stops(), body.n or 1, asked is None, reply.note["id"], said.notes,
    )  # fmt: skip


def _store(reply: Reply) -> str | None:
    name = reply.body.store
    return name if isinstance(name, str) else reply.service.default_store


def _given(reply: Reply, samples: Sequence[GivenSample], data: Mapping[str, bytes], folder: Path) -> Context:
    """The samples that came with the request, and those it names by their ids."""
    found: list[Sample] = []
    for number, sample in enumerate(samples):
        if sample.id is not None and sample.text is None and sample.image_url is None:
            found += reply.service.shelf(_store(reply)).samples([sample.id])
        elif sample.image_url is None and not (sample.text or "").strip():
            raise SampleError(f"samples[{number}] has no text, no image_url and no id")
        else:
            found.append(Sample(sample.id or f"given-{number}", sample.text or ""))
            if sample.image_url is not None:
                file = folder / f"{number}.png"
                reply.service.pictures.decode(data[sample.image_url]).save(file, compress_level=1)
                found[-1] = replace(found[-1], image=file)
    return tuple(Neighbor(sample, math.nan) for sample in found)


def _log_content(reply: Reply, texts: Sequence[str]) -> None:
    if reply.service.settings.log_content:
        reply.note |= {"question": reply.body.messages[-1].text(), "answers": list(texts)}
