"""An answer under way, whatever its documents look like: the question as the service takes it, and what is counted."""

import math
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from camml.answering import Decoding
from camml.assistant.answer import NOT_TOLD
from camml.assistant.support import judged
from camml.errors import SampleError
from camml.serving import conversation, scratch
from camml.serving.conversation import Conversation
from camml.serving.engines import Piece, Sampling, TokenLogprob
from camml.serving.engines._formats import schema_of
from camml.serving.links import Links
from camml.serving.problems import ApiError, of_exception
from camml.serving.service import Evidence, Question, Service
from camml.serving.streaming import sse
from camml.serving.wire import ChatBody, GivenSample
from camml.types import Context, Neighbor, Query, Sample

COLDEST = 1e-3
"""A temperature or share of probability below this is greedy decoding, without numbers too large to compute with."""
TOOLS = ("tools", "tool_choice", "functions", "function_call")


@dataclass(slots=True)
class Reply:
    """An answer under way: what its documents have in common, and what is counted.

    Attributes:
      texts: of the answers by their places, as far as they are there.
      asked: the words of the question.
    """

    service: Service
    body: ChatBody
    links: Links
    note: dict[str, Any]
    started: float = field(default_factory=time.perf_counter)
    created: int = field(default_factory=lambda: int(time.time()))
    evidence: Evidence | None = None
    first: float = math.nan
    tokens: dict[int, int] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    asked: str = ""

    async def events(self) -> AsyncGenerator[Evidence | Piece, None]:
        """Yield the evidence, then the pieces, counted; there is room for the answer until this is closed."""
        with self.service.answers.enter(self.body.n or 1), scratch.folder() as folder:
            said = conversation.read(self.body.messages)
            given = [sample.image_url for sample in self.body.samples or [] if sample.image_url is not None]
            shown = given if said.picture is None else [said.picture, *given]
            data = await self.service.read(shown)
            question = await self.service.look(_question, self, said, data, Path(folder))
            self.asked = question.query.text
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
        self.texts[event.index] = self.texts.get(event.index, "") + event.text
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

    def usage(self) -> dict[str, int]:
        """Return the tokens of prompt and answers."""
        read = self.evidence.prepared.prompt_tokens if self.evidence else 0
        said = sum(self.tokens.values())
        return {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}

    def shown(self, answer: str | None = None) -> dict[str, Any]:
        """Return the evidence as the answer carries it.

        Args:
          answer: one of the answers, once it is whole: whether it refuses, and the passage it was taken from.
        """
        assert self.evidence is not None
        where, reason, found = self.evidence.store or _store(self), self.evidence.refusal, self.evidence.context
        if answer is not None and not reason:
            refused, found = judged(answer, found, self.asked)
            reason = NOT_TOLD if refused else ""
        context = [self.links.found(neighbor, where).model_dump() for neighbor in found]
        return {"context": context, "notes": list(self.evidence.notes), "refused": bool(reason), "reason": reason}

    def citations(self, answer: str | None = None) -> list[dict[str, Any]]:
        """Return the evidence as citations of all the answer, for clients that keep no other fields.

        Args:
          answer: as far as it is there; None where it has not begun.
        """
        return [
            {"title": sample["id"], "url": self.links.about(sample), "start_index": 0, "end_index": len(answer or "")}
            | ({"supporting": sample["supporting"]} if sample["supporting"] else {})
            for sample in self.shown(answer)["context"]
        ]


@dataclass(slots=True)
class Answered:
    """One of the answers, as far as it is there."""

    text: str = ""
    reason: str | None = None
    logprobs: list[TokenLogprob] = field(default_factory=list)


async def whole(reply: Reply) -> list[Answered]:
    """Return all answers, once they are finished."""
    answers = [Answered() for _ in range(reply.body.n or 1)]
    async with aclosing(reply.events()) as events:
        async for event in events:
            if isinstance(event, Piece):
                answer = answers[event.index]
                answer.text += event.text
                answer.reason = event.finish_reason
                answer.logprobs += event.logprobs
    log_content(reply, [answer.text for answer in answers])
    return answers


async def told(
    reply: Reply, say: Callable[[Evidence | Piece], Iterable[bytes]], end: Callable[[list[str]], Iterable[bytes]]
) -> AsyncGenerator[bytes, None]:
    """Yield an answer as server-sent events.

    Args:
      say: what to send of the evidence, and of each piece.
      end: what to send in the end, by the texts of the answers.
    """
    begun = False
    async with aclosing(reply.events()) as events:
        try:
            async for event in events:
                for data in say(event):
                    begun = True
                    yield data
        except Exception as error:
            if not begun:
                raise
            # the status is sent: what is left is to say so in the stream
            yield sse(of_exception(error).body())
            return
    texts = [reply.texts.get(index, "") for index in range(reply.body.n or 1)]
    log_content(reply, texts)
    for data in end(texts):
        yield data


def check(service: Service, body: ChatBody) -> None:
    """Raise an ApiError for what this server does not do."""
    if not service.settings.answers_to(body.model):
        name = service.settings.served_name
        raise ApiError(404, f"no model {body.model!r} here; there is: {name}", "model_not_found", "model")
    if (unsupported := body.unsupported()) in TOOLS:
        told = "this server calls no tools; for an answer in a form of yours give response_format"
        raise ApiError(400, told, "unsupported_parameter", unsupported)
    if unsupported is not None:
        raise ApiError(400, f"this server has no {unsupported!r}", "unsupported_parameter", unsupported)
    if (body.n or 1) > service.engine.slots:
        raise ApiError(400, f"n may be at most {service.engine.slots} here", "invalid_value", "n")


def _question(reply: Reply, said: Conversation, data: Mapping[str, bytes], folder: Path) -> Question:
    """Return what is asked, with its pictures opened; given ones are kept in `folder`. Blocks.

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
    sampling = Sampling(
        body.frequency_penalty or 0.0,
        body.presence_penalty or 0.0,
        body.repetition_penalty,
        max(0, body.top_k or 0),
        body.min_p or 0.0,
        (body.top_logprobs or 0) if body.logprobs else None,
        schema_of(body.response_format) if body.response_format is not None else "",
    )
    return Question(
        Query(said.question, picture), decoding, said.history, said.system, _store(reply), body.shots, body.mode,
        body.filter, None if body.samples is None else _given(reply, body.samples, data, folder),
        body.stops(), body.n or 1, asked is None, reply.note["id"], said.notes, sampling,
    )  # fmt: skip


def _store(reply: Reply) -> str | None:
    name = reply.body.store
    return name if isinstance(name, str) else reply.service.default_store


def _given(reply: Reply, samples: Sequence[GivenSample], data: Mapping[str, bytes], folder: Path) -> Context:
    """Return the samples that came with the request, and those it names by their ids."""
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


def log_content(reply: Reply, texts: Sequence[str]) -> None:
    """Note question and answers for the log, where the server's owner wants that."""
    if reply.service.settings.log_content:
        reply.note |= {"question": reply.body.messages[-1].text(), "answers": list(texts)}
