"""The thread that runs a model, for all answers at once."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from queue import Empty, SimpleQueue
from threading import Thread

import torch
from torch import Tensor

from camml.errors import BusyError, CaMMLError, TooLargeError
from camml.serving.engines import Piece, Prepared
from camml.serving.engines._answer import Answer, AnswerText
from camml.serving.engines._attention import Segment, Window, run
from camml.serving.engines._front import PromptEncoder
from camml.serving.engines._jobs import Job, Reading, Stream, deliver, shares
from camml.serving.engines._sampler import Sampler
from camml.serving.engines._slots import Layout, Slots
from camml.sizes import size_in_words

logger = logging.getLogger("camml.serving")

BUSY_PICTURES, IDLE_PICTURES = 1, 16
"""Pictures that are looked at between two steps while others get their answers, and while nobody does."""


class Batch(Thread):
    """Runs the model on all current answers, one token of each at a time, and reads prompts piece by piece beside them.

    Args:
      slots: answers at a time.
      memory: bytes for keys and values.
      static: take the memory of the longest answers at once.
      idle_tokens: of prompts that are read in one step while nobody gets an answer.
      busy_tokens: the same while some answers are under way, by their number.

    Raises:
      TooLargeError: there is not so much memory as the longest answers are to have at once.
    """

    def __init__(
        self,
        front: PromptEncoder,
        layout: Layout,
        slots: int,
        memory: int,
        static: bool,
        idle_tokens: int,
        busy_tokens: Callable[[int], int],
    ) -> None:
        super().__init__(name="camml-model", daemon=True)
        self._front = front
        self._size = slots
        self._idle_tokens, self._busy_tokens = idle_tokens, busy_tokens
        whole = (slots, front.limit) if static and front.limit else None
        if whole and (need := slots * whole[1] * layout.bytes_per_token) > memory:
            raise TooLargeError(
                f"{slots} slots of {whole[1]} tokens take {size_in_words(need)}, more than "
                f"memory={size_in_words(memory)}"
            )
        self._slots = Slots(layout, memory, whole)
        self._running: list[Stream] = []
        self._reading: list[Reading] = []
        self._waiting: deque[Job] = deque()
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._looked = False  # in the last turn, while others waited
        self._outbox: list[tuple[Job, Piece | BaseException]] = []
        self._counters = {"steps_total": 0, "chunks_total": 0, "prefills_total": 0, "cancelled_total": 0}
        self.start()

    def check(self, prepared: Prepared) -> None:
        """Look whether there is memory for the answers to a request; short ones always wait for their turn.

        Raises:
          TooLargeError: the answers need more than the server has.
          BusyError: they need more than is free beside the long answers that others are getting.
        """
        tokens, n = _longest(prepared), prepared.request.n
        need, memory = self._slots.cost(tokens, n), self._slots.memory
        if need > memory:
            raise TooLargeError(
                f"a prompt of {prepared.prompt_tokens} tokens and {n} answers of up to {prepared.max_new_tokens} take "
                f"{size_in_words(need)}, and this server has {size_in_words(memory)} for them: ask for less"
            )
        if self._slots.whole is None and need > memory // self._size and need + self._promised() > memory:
            raise BusyError("the memory for long questions is in use; try again in a moment, or ask for less")

    def _promised(self) -> int:
        """Return the bytes that answers have, or wait for with a claim to more than their share."""
        waiting = sum(job.need for job in self._waiting.copy() if job.need > self._slots.memory // self._size)
        return self._slots.allocated + waiting

    def submit(self, job: Job) -> None:
        """Have a request answered."""
        job.need = self._slots.cost(_longest(job.prepared), job.prepared.request.n)
        self._inbox.put(job)

    def status(self) -> Mapping[str, float]:
        """See `Engine`."""
        waiting = sum(job.prepared.request.n for job in self._waiting.copy()) + self._inbox.qsize()
        waiting += sum(len(reading.rows) for reading in self._reading.copy())
        memory = {"memory_bytes": self._slots.allocated, "memory_limit_bytes": self._slots.memory}
        return {"running": len(self._running), "waiting": waiting, **memory, **self._counters, **self._front.counts()}

    def close(self) -> None:
        """End; answers that are not finished get an error."""
        self._inbox.put(None)
        self.join()

    def run(self) -> None:
        """Do the work of the thread."""
        while self._receive():
            with torch.inference_mode():
                self._leave()
                self._admit()
                looked = self._look()
                self._leave()  # looking at pictures takes time, and some readers have none
                if self._running or self._reading:
                    self._turn(read=not looked)
            self._send()
        jobs = [*self._waiting, *(reading.job for reading in self._reading), *(stream.job for stream in self._running)]
        self._fail(jobs, CaMMLError("the server is going down"))
        self._send()

    def _receive(self) -> bool:
        """Take in what was submitted, waiting for it where there is nothing else to do; False at the end."""
        with suppress(Empty):
            while True:
                job = self._inbox.get(block=not (self._running or self._reading or self._waiting))
                if job is None:
                    return False
                self._waiting.append(job)
        return True

    def _leave(self) -> None:
        """Let go of the answers whose reader has gone."""
        for stream in [stream for stream in self._running if stream.job.cancelled]:
            self._free(stream)
            self._counters["cancelled_total"] += 1
        for reading in [reading for reading in self._reading if reading.job.cancelled]:
            self._counters["cancelled_total"] += len(reading.rows)
            self._drop(reading)

    def _free(self, stream: Stream) -> None:
        self._running.remove(stream)
        self._slots.free(stream.row)

    def _drop(self, reading: Reading) -> None:
        self._reading.remove(reading)
        for row in reading.rows:
            self._slots.free(row)

    def _admit(self) -> None:
        """Give room to those who wait, in their order, as long as there is some."""
        while self._waiting:
            job = self._waiting[0]
            if not job.cancelled:
                n, tokens = job.prepared.request.n, _longest(job.prepared)
                used = len(self._running) + sum(len(reading.rows) for reading in self._reading)
                if used + n > self._size or not self._slots.fits(tokens, n):
                    return
                try:
                    self._reading.append(Reading(job, []))
                    for _ in range(n):
                        self._reading[-1].rows.append(self._slots.take(tokens))
                except (RuntimeError, MemoryError) as error:  # less memory than was promised
                    logger.exception("there is no memory for an answer")
                    self._fail([job], error)
                    self._drop(self._reading[-1])
            self._waiting.popleft()

    def _look(self) -> bool:
        """Turn the next prompts into embeddings, with their pictures; return whether others wait for that.

        Where others get answers it is one picture or one prompt at a time, and prompts are read in the next turn: all
        together would keep the others waiting for longer than a few steps.
        """
        new = [reading for reading in self._reading if reading.embeds is None]
        busy = bool(self._running)
        if not new or (busy and self._looked and len(new) < len(self._reading)):
            self._looked = False
            return False
        self._looked = busy
        seen = self._front.counts()["picture_misses_total"]
        try:
            self._front.look([reading.job.prepared for reading in new], BUSY_PICTURES if busy else IDLE_PICTURES)
            together = True
        except Exception:  # whose fault it was shows below, where each is looked at alone
            logger.exception("pictures could not be looked at together")
            together = False
        if busy and self._front.counts()["picture_misses_total"] > seen:
            return True
        for reading in new:
            if together and not self._front.ready(reading.job.prepared):
                continue
            try:
                reading.embeds = self._front.embed(reading.job.prepared)
            except Exception as error:  # this request's own fault
                logger.exception("a prompt could not be embedded")
                self._fail([reading.job], error)
                self._drop(reading)
            if busy:
                break
        return busy

    def _turn(self, read: bool) -> None:
        """Read on in some prompts, where it is their turn, and get one more token of every answer."""
        ready = [reading for reading in self._reading if read and reading.embeds is not None]
        tokens = self._busy_tokens(len(self._running)) if self._running else self._idle_tokens
        chunks = shares(ready, tokens, oldest_first=self._counters["chunks_total"] % 2 == 1)
        if not chunks and not self._running:
            return
        try:
            self._step(chunks)
        except Exception as error:  # out of memory, mostly: these answers fail, the next may succeed
            logger.exception("the model failed")
            if chunks:  # those that get their answers go on
                self._fail([reading.job for reading, _ in chunks], error)
                for reading in [reading for reading, _ in chunks if reading in self._reading]:
                    self._drop(reading)
                return
            self._fail([stream.job for stream in self._running], error)
            for stream in list(self._running):
                self._free(stream)

    def _step(self, chunks: Sequence[tuple[Reading, int]]) -> None:
        streams = self._in_order()
        segments = _runs(streams)
        embeds = []
        if streams:
            last = torch.tensor([stream.answer.said[-1] for stream in streams], device=self._front.device)
            embeds.append(self._front.language_model.get_input_embeddings()(last))
        keep, place = list(range(len(streams))), len(streams)
        for reading, count in chunks:
            row = reading.rows[0]
            assert reading.embeds is not None
            segments.append(Segment(row.block, row.block.rows.index(row), 1, count))
            embeds.append(reading.embeds[reading.read : reading.read + count])
            place += count
            keep += [place - 1] * (count == reading.left)
        logits = run(self._front.language_model, Window(segments), torch.cat(embeds), keep)
        self._counters["steps_total"] += bool(streams)
        self._counters["chunks_total"] += bool(chunks)
        self._take(logits, streams)
        self._begin(chunks, logits[len(streams) :])

    def _in_order(self) -> list[Stream]:
        """Return the answers in the order of their places, so that those of a block lie together."""
        by_row = {stream.row: stream for stream in self._running}
        return [by_row[row] for block in self._slots.blocks for row in block.rows if row in by_row]

    def _begin(self, chunks: Sequence[tuple[Reading, int]], logits: Tensor) -> None:
        """Count what was read, and begin the answers to prompts that are read to their end."""
        place = 0
        for reading, count in chunks:
            reading.read += count
            if reading.left:
                continue
            try:
                answers = self._answers(reading.job)
            except Exception as error:  # this request's own fault
                logger.exception("an answer could not be begun")
                self._fail([reading.job], error)
                self._drop(reading)
                place += 1
                continue
            first, *others = reading.rows
            for row in others:
                self._slots.copy(first, row)
            self._reading.remove(reading)
            self._counters["prefills_total"] += 1
            streams = [Stream(reading.job, answer, row) for answer, row in zip(answers, reading.rows, strict=True)]
            self._running += streams
            self._take(logits[place : place + 1].expand(len(streams), -1), streams)
            place += 1

    def _answers(self, job: Job) -> list[Answer]:
        request, front = job.prepared.request, self._front
        read, penalty = front.penalized(job.prepared)
        form = front.form(request)  # once for all answers: everybody waits for it
        return [
            Answer(
                index,
                job.prepared.max_new_tokens,
                front.stop_ids,
                AnswerText(front.tokenizer, request.stop),
                Sampler(request.decoding, index, front.device, read, penalty, request.sampling, form and form.copy()),
            )
            for index in range(request.n)
        ]

    def _take(self, logits: Tensor, streams: Sequence[Stream]) -> None:
        """Choose the next token of some answers, from float[n, V] and more."""
        likeliest = logits[: len(streams)].argmax(-1).tolist()
        finished = []
        for stream, token, scores in zip(streams, likeliest, logits, strict=False):
            job, answer = stream.job, stream.answer
            if job.cancelled:
                continue
            logprob = None
            if not answer.sampler.plain:
                try:
                    token = answer.sampler.choose(scores, answer.said)
                    logprob = answer.sampler.logprob(scores, token, self._front.tokenizer)
                except Exception as error:  # numbers of the model ran over, or its form has no way on
                    logger.exception("a token could not be chosen")
                    self._fail([job], error)
                    job.cancelled = True
                    continue
            piece = answer.take(token, logprob)
            if piece is not None:
                self._outbox.append((job, piece))
                if piece.finish_reason:
                    finished.append(stream)
        for stream in finished:
            self._free(stream)

    def _fail(self, jobs: Sequence[Job], error: BaseException) -> None:
        self._outbox += [(job, error) for job in dict.fromkeys(jobs)]

    def _send(self) -> None:
        """Hand over what is ready, with one call for each event loop."""
        outbox, self._outbox = self._outbox, []
        for loop in {job.loop for job, _ in outbox}:
            with suppress(RuntimeError):  # a loop that is closed has nobody left to read
                loop.call_soon_threadsafe(deliver, [item for item in outbox if item[0].loop is loop])


def _longest(prepared: Prepared) -> int:
    """Return the tokens of prompt and answer."""
    return prepared.prompt_tokens + prepared.max_new_tokens


def _runs(streams: Sequence[Stream]) -> list[Segment]:
    """Return the answers, in the order of their places, as segments of rows that follow one another."""
    places = [(stream.row.block, stream.row.block.rows.index(stream.row)) for stream in streams]
    segments = []
    for _, part in groupby(enumerate(places), lambda item: (id(item[1][0]), item[1][1] - item[0])):
        run_of = [place for _, place in part]
        block, first = run_of[0]
        segments.append(Segment(block, first, len(run_of), 1))
    return segments
