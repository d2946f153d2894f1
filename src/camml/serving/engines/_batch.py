"""The thread that runs a model, for all answers at once."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from camml.errors import CaMMLError, ModelFolderError
from camml.serving.engines import Piece, Prepared
from camml.serving.engines._answer import Answer, AnswerText, Sampler
from camml.serving.engines._front import Front
from camml.serving.engines._slots import GROWTH, Slots

logger = logging.getLogger("camml.serving")


@dataclass(eq=False, slots=True)
class Job:
    """A request in the batch, and where its pieces go."""

    prepared: Prepared
    loop: asyncio.AbstractEventLoop
    arrived: "asyncio.Queue[Piece | BaseException]"
    cancelled: bool = False
    embeds: Tensor | None = field(default=None, repr=False)


class Batch(Thread):
    """Runs the model on all current answers, one token of each at a time.

    Args:
      static: take the memory of the longest answers at once.
      prefill_tokens: prompts read in one step, padding included.

    Raises:
      ModelFolderError: the model attends in a way that this batch cannot follow.
    """

    def __init__(self, front: Front, slots: int, static: bool, prefill_tokens: int) -> None:
        super().__init__(name="camml-model", daemon=True)
        check_attention(front)
        self._front = front
        self._prefill_tokens = prefill_tokens
        self._size = slots
        self._length = front.limit if static and front.limit else GROWTH
        self._cache = self._empty()
        self._running: list[tuple[Job, Answer]] = []  # by slot
        self._joining: list[Job] = []
        self._waiting: deque[Job] = deque()
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._outbox: list[tuple[Job, Piece | BaseException]] = []
        self._counters = {"steps_total": 0, "prefills_total": 0, "cancelled_total": 0}
        self.start()

    def submit(self, job: Job) -> None:
        """Have a request answered."""
        self._inbox.put(job)

    def status(self) -> Mapping[str, float]:
        """See `Engine`."""
        waiting = sum(job.prepared.request.n for job in [*self._waiting]) + self._inbox.qsize()
        kept = {"sample_hits_total": self._front.sample_hits, "sample_misses_total": self._front.sample_misses}
        return {"running": len(self._running), "waiting": waiting, **self._counters, **kept}

    def close(self) -> None:
        """End; answers that are not finished get an error."""
        self._inbox.put(None)
        self.join()

    def run(self) -> None:
        """The work of the thread."""
        while self._receive():
            try:
                with torch.inference_mode():
                    self._leave()
                    self._join()
                    self._leave()  # reading prompts takes time, and some readers have none
                    if self._running:
                        self._step()
            except Exception as error:  # out of memory, mostly: these answers fail, the next may succeed
                logger.exception("the model failed")
                self._fail([*self._joining, *(job for job, _ in self._running)], error)
                self._running, self._cache = [], self._empty()
            self._joining = []
            self._send()
        self._fail([*self._waiting, *(job for job, _ in self._running)], CaMMLError("the server is going down"))
        self._send()

    def _receive(self) -> bool:
        """Take in what was submitted, waiting for it where there is nothing else to do; False at the end."""
        with suppress(Empty):
            while True:
                job = self._inbox.get(block=not self._running and not self._waiting)
                if job is None:
                    return False
                self._waiting.append(job)
        return True

    def _leave(self) -> None:
        """Let go of the answers whose reader has gone."""
        for slot in reversed([slot for slot, (job, _) in enumerate(self._running) if job.cancelled]):
            self._free(slot)
            self._counters["cancelled_total"] += 1

    def _free(self, slot: int) -> None:
        self._running[slot] = self._running[self._cache.free(slot)]
        self._running.pop()

    def _join(self) -> None:
        """Read the prompts of those who wait, as many as there is room for."""
        joining: list[Job] = []
        slots = self._size - len(self._running)
        widest = 0
        while self._waiting:
            job = self._waiting[0]
            if not job.cancelled:
                widest = max(widest, job.prepared.prompt_tokens)
                full = job.prepared.request.n > slots or widest * (len(joining) + 1) > self._prefill_tokens
                if full and (joining or job.prepared.request.n > slots):
                    break
                joining.append(job)
                slots -= job.prepared.request.n
            self._waiting.popleft()
        self._joining = [job for job in joining if self._embed(job)]
        if self._joining:
            self._prefill(self._joining)

    def _embed(self, job: Job) -> bool:
        """Turn a prompt into embeddings; what fails here is this request's own fault."""
        try:
            job.embeds = self._front.embed(job.prepared)
        except Exception as error:
            logger.exception("a prompt could not be embedded")
            self._fail([job], error)
        return job.embeds is not None

    def _prefill(self, jobs: Sequence[Job]) -> None:
        rows = [job.embeds for job in jobs if job.embeds is not None]
        counts = torch.tensor([len(row) for row in rows], device=rows[0].device)
        embeds = pad_sequence(rows, batch_first=True, padding_side="left")
        places = torch.arange(embeds.shape[1], device=counts.device) - (embeds.shape[1] - counts)[:, None]
        cache = DynamicCache()
        try:
            logits = self._front.language_model(
                inputs_embeds=embeds,
                attention_mask=(places >= 0).long() if len(rows) > 1 else None,
                position_ids=places.clamp_min(0),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
        except Exception as error:
            logger.exception("prompts could not be read")
            self._fail(jobs, error)  # those that are running go on
            return
        self._counters["prefills_total"] += 1
        for row, job in enumerate(jobs):
            job.embeds = None
            answers = self._answers(job)
            for answer in answers:
                self._cache.put(cache, row, job.prepared.prompt_tokens)
                self._running.append((job, answer))
            self._take(logits[row : row + 1].expand(len(answers), -1), len(self._running) - len(answers))

    def _answers(self, job: Job) -> list[Answer]:
        request, front = job.prepared.request, self._front
        read, penalty = front.penalized(job.prepared)
        return [
            Answer(
                index,
                job.prepared.max_new_tokens,
                front.stop_ids,
                AnswerText(front.tokenizer, request.stop),
                Sampler(request.decoding, index, front.device, read, penalty),
            )
            for index in range(request.n)
        ]

    def _step(self) -> None:
        """One more token of every answer."""
        last = torch.tensor([[answer.said[-1]] for _, answer in self._running], device=self._front.device)
        places, seen = self._cache.begin_step()
        logits = self._front.language_model(
            inputs_embeds=self._front.language_model.get_input_embeddings()(last),
            attention_mask=self._mask(seen),
            position_ids=places,
            past_key_values=self._cache,
            use_cache=True,
        ).logits[:, -1]
        self._cache.end_step()
        self._counters["steps_total"] += 1
        self._take(logits, 0)

    def _mask(self, seen: Tensor) -> Tensor:
        if self._front.language_model.config._attn_implementation != "eager":
            return seen
        dtype = self._front.language_model.dtype
        return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)

    def _take(self, logits: Tensor, first: int) -> None:
        """Choose the next token of the answers from slot `first` on, from float[n, V]."""
        likeliest = logits.argmax(-1).tolist()
        finished = []
        for offset, token in enumerate(likeliest):
            job, answer = self._running[first + offset]
            if job.cancelled:
                continue
            if not answer.sampler.plain:
                try:
                    token = answer.sampler.choose(logits[offset], answer.said)
                except RuntimeError as error:  # no probabilities to choose by: numbers of the model ran over
                    self._fail([job], error)
                    job.cancelled = True
                    continue
            piece = answer.take(token)
            if piece is not None:
                self._outbox.append((job, piece))
                if piece.finish_reason:
                    finished.append(first + offset)
        for slot in reversed(finished):
            self._free(slot)

    def _fail(self, jobs: Sequence[Job], error: BaseException) -> None:
        self._outbox += [(job, error) for job in dict.fromkeys(jobs)]

    def _send(self) -> None:
        """Hand over what is ready, with one call for each event loop."""
        outbox, self._outbox = self._outbox, []
        for loop in {job.loop for job, _ in outbox}:
            with suppress(RuntimeError):  # a loop that is closed has nobody left to read
                loop.call_soon_threadsafe(deliver, [item for item in outbox if item[0].loop is loop])

    def _empty(self) -> Slots:
        return Slots(self._size, self._front.device, self._length)


def deliver(items: Sequence[tuple[Job, Piece | BaseException]]) -> None:
    """Hand pieces to those who wait for them; in the thread of their event loop."""
    for job, piece in items:
        job.arrived.put_nowait(piece)


def check_attention(front: Front) -> None:
    """That every token may look at all before it, which is what one mask for all layers can say.

    A window is fine as long as prompt and answer fit in it, so it becomes the limit.

    Raises:
      ModelFolderError: the model has layers of another kind.
    """
    config = front.language_model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    implementation = config._attn_implementation
    if other := kinds - {"full_attention", "sliding_attention"}:
        raise ModelFolderError(f"the language model has {min(other)} layers, which this engine cannot batch; use vllm")
    if implementation not in ("sdpa", "eager"):
        raise ModelFolderError(
            f"attention {implementation!r} cannot be used by this engine; load it with sdpa or eager"
        )
    window = getattr(config, "sliding_window", None)
    if window and ("sliding_attention" in kinds or not getattr(config, "layer_types", None)):
        front.limit = min(front.limit or window, window)
