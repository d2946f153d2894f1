"""An answer under way, whatever its documents look like: the question as the service takes it, and what is counted."""

import math
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camml.assistant.answer import NOT_TOLD
from camml.assistant.support import judged
from camml.serving import conversation, scratch
from camml.serving.engines import Call, Piece, TokenLogprob
from camml.serving.links import Links
from camml.serving.problems import of_exception
from camml.serving.questions import addresses, question_of, store_of
from camml.serving.service import Evidence, Service
from camml.serving.streaming import sse
from camml.serving.wire import ChatBody


@dataclass(slots=True)
class Reply:
    """An answer under way: what its documents have in common, and what is counted.

    Attributes:
      texts: of the answers by their places, as far as they are there.
      said: what each answer holds, in the order in which it began: calls of tools, and None for the text.
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
    said: dict[int, list[Call | None]] = field(default_factory=dict)
    asked: str = ""

    async def events(self) -> AsyncGenerator[Evidence | Piece, None]:
        """Yield the evidence, then the pieces, counted; there is room for the answer until this is closed."""
        with self.service.answers.enter(self.body.n or 1), scratch.folder() as folder:
            service, body, engine = self.service, self.body, self.service.engine
            said = conversation.read(body.messages, engine.most_pictures, engine.calls is not None)
            data = await service.read(addresses(body, said))
            question = await service.look(question_of, service, body, said, data, Path(folder), self.note["id"])
            self.asked = question.query.text
            async with aclosing(service.ask(question)) as events:
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
        parts = self.said.setdefault(event.index, [])
        if None not in parts and (event.text or (event.finish_reason and not parts and not event.calls)):
            parts.append(None)
        parts += event.calls
        metrics, now = self.service.metrics, time.perf_counter()
        if math.isnan(self.first):
            self.first = now
            metrics.first_token.observe(now - self.started)
        if event.finish_reason and event.new_tokens > 1 and now > self.first:
            metrics.token_rate.observe((event.new_tokens - 1) / (now - self.first))

    def _note(self) -> None:
        if self.evidence is None:
            return
        prompt_tokens, completion_tokens = self.evidence.prepared.prompt_tokens, sum(self.tokens.values())
        self.service.metrics.prompt_tokens.inc(prompt_tokens)
        self.service.metrics.new_tokens.inc(completion_tokens)
        self.note |= {"store": self.evidence.store, "shots": len(self.evidence.context)}
        self.note |= {"prompt_tokens": prompt_tokens, "new_tokens": completion_tokens}
        self.note |= {"retrieval_ms": round(1000 * self.evidence.retrieval_seconds, 1)}
        if not math.isnan(self.first):
            self.note["first_token_ms"] = round(1000 * (self.first - self.started), 1)

    def usage(self) -> dict[str, int]:
        """Return the tokens of prompt and answers."""
        prompt_tokens = self.evidence.prepared.prompt_tokens if self.evidence else 0
        completion_tokens = sum(self.tokens.values())
        return {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        }

    def shown(self, answer: str | None = None) -> dict[str, Any]:
        """Return the evidence as the answer carries it.

        Args:
          answer: one of the answers, once it is whole: whether it refuses, and the passage it was taken from.
        """
        assert self.evidence is not None
        where, reason, context = (
            self.evidence.store or store_of(self.service, self.body),
            self.evidence.refusal,
            self.evidence.context,
        )
        if answer is not None and not reason:
            refused, context = judged(answer, context, self.asked)
            reason = NOT_TOLD if refused else ""
        samples = [self.links.neighbor(neighbor, where).model_dump() for neighbor in context]
        return {"context": samples, "notes": list(self.evidence.notes), "refused": bool(reason), "reason": reason}

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
    calls: list[Call] = field(default_factory=list)


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
                answer.calls += event.calls
    log_content(reply, [answer.text for answer in answers])
    return answers


async def server_sent_events(
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


def log_content(reply: Reply, texts: Sequence[str]) -> None:
    """Note question and answers for the log, where the server's owner wants that."""
    if reply.service.settings.log_content:
        reply.note |= {"question": reply.body.messages[-1].text(), "answers": list(texts)}
