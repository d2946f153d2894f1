"""The thread that runs a model which answers one request at a time, with its own `generate`."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue
from threading import Thread
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from camml.answering import Decoding
from camml.answering._generation import generation_options
from camml.errors import CaMMLError, TooLargeError
from camml.serving.engines import Piece, Prepared, Sampling
from camml.serving.engines._answer import Answer, AnswerText
from camml.serving.engines._front import PromptEncoder
from camml.serving.engines._jobs import Job, deliver
from camml.serving.engines._memory import bytes_per_token
from camml.serving.engines._sampler import Chosen, Sampler
from camml.sizes import size_in_words

logger = logging.getLogger("camml.serving")


class SequentialRunner(Thread):
    """Answers requests in the order in which they came.

    For models whose prompts cannot be batched by the continuous batch: their positions have several dimensions, or
    their layers read more than embeddings.
    """

    def __init__(self, front: PromptEncoder, memory: int) -> None:
        super().__init__(name="camml-model", daemon=True)
        self._front = front
        self._memory = memory
        self._per_token = bytes_per_token(front.language_model.config, front.language_model.dtype)
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._running = 0
        self._waiting = 0
        self._closed = False
        self._counters = {"prefills_total": 0, "cancelled_total": 0}
        self.start()

    def check(self, prepared: Prepared) -> None:
        """Look whether there is memory for an answer.

        Raises:
          TooLargeError: the answer needs more than the server has.
        """
        need = self._per_token * (prepared.prompt_tokens + prepared.max_new_tokens)
        if need > self._memory:
            raise TooLargeError(
                f"a prompt of {prepared.prompt_tokens} tokens and an answer of up to {prepared.max_new_tokens} take "
                f"{size_in_words(need)}, and this server has {size_in_words(self._memory)} for them: ask for less"
            )

    def submit(self, job: Job) -> None:
        """Have a request answered."""
        self._waiting += 1
        self._inbox.put(job)

    def status(self) -> Mapping[str, float]:
        """See `Engine`."""
        return {"running": self._running, "waiting": self._waiting, **self._counters, **self._front.counts()}

    def close(self) -> None:
        """End; answers that are not finished get an error."""
        self._closed = True
        self._inbox.put(None)
        self.join()

    def run(self) -> None:
        """Do the work of the thread."""
        while (job := self._inbox.get()) is not None:
            self._waiting -= 1
            if self._closed:
                self._send(job, CaMMLError("the server is going down"))
                continue
            self._running = 1
            try:
                for index in range(job.prepared.request.n):
                    self._answer(job, index)
            except Exception as error:  # out of memory, mostly: this answer fails, the next may succeed
                logger.exception("the model failed")
                self._send(job, error)
            self._running = 0

    def _answer(self, job: Job, index: int) -> None:
        if job.cancelled:
            self._counters["cancelled_total"] += 1
            return
        front, prepared = self._front, job.prepared
        text = AnswerText(front.tokenizer, prepared.request.stop)
        answer = Answer(index, prepared.max_new_tokens, front.stop_ids, text)
        decoding, sampling = prepared.request.decoding, prepared.request.sampling
        chosen = None
        form = front.form(prepared.request)
        if sampling == Sampling() and form is None:
            seed = None if decoding.seed is None else (decoding.seed + index) % 2**63
            options = generation_options(replace(decoding, max_new_tokens=prepared.max_new_tokens, seed=seed))
        else:
            options = generation_options(Decoding(prepared.max_new_tokens))
            none = torch.empty(0, dtype=torch.long, device=front.device)
            # `generate` itself applies the repetition penalty that the model has
            own = Sampler(decoding, index, front.device, none, 1.0, sampling, form)
            chosen = Chosen(own, front.tokenizer)
            options["logits_processor"] = LogitsProcessorList([chosen])
        reader = _Reader(self, job, answer, chosen)
        self._counters["prefills_total"] += 1
        with torch.inference_mode():
            front.model.generate(
                **front.whole(prepared), **options, streamer=reader, stopping_criteria=StoppingCriteriaList([reader])
            )
        if reader.finished:  # its reader may have left since, with the last token: nothing was cancelled
            return
        if job.cancelled:
            self._counters["cancelled_total"] += 1
        elif self._closed:
            self._send(job, CaMMLError("the server is going down"))

    def _send(self, job: Job, piece: Piece | BaseException) -> None:
        with suppress(RuntimeError):  # a loop that is closed has nobody left to read
            job.loop.call_soon_threadsafe(deliver, [(job, piece)])


class _Reader(StoppingCriteria):
    """Takes the tokens as they are generated, and ends the generation when nobody needs more of them."""

    def __init__(self, single: SequentialRunner, job: Job, answer: Answer, chosen: Chosen | None) -> None:
        self._chosen = chosen
        self._single = single
        self._job = job
        self._answer = answer
        self._prompt_read = False
        self.finished = False

    def put(self, tokens: Tensor) -> None:
        """Take the prompt, then one new token after the other."""
        if not self._prompt_read:
            self._prompt_read = True
            return
        for token in tokens.reshape(-1).tolist():
            logprob = self._chosen.logprobs.pop(0) if self._chosen else None
            if not self.finished and (piece := self._answer.take(token, logprob)) is not None:
                self.finished = piece.finish_reason is not None
                self._single._send(self._job, piece)

    def end(self) -> None:
        """Do nothing: the last token said that it is the last."""

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        done = self.finished or self._job.cancelled or self._single._closed
        return torch.full((len(input_ids),), done, dtype=torch.bool, device=input_ids.device)
