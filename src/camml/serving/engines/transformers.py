"""Answers with transformers in this process: requests join and leave the batch between two tokens."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from camml.errors import OptionError, first_line
from camml.serving.engines import Piece, Prepared, Request, _front, _memory
from camml.serving.engines._batch import Batch
from camml.serving.engines._front import FrontEngine, PromptEncoder
from camml.serving.engines._jobs import Job
from camml.serving.engines._probe import check_attention, layout_of
from camml.serving.engines._single import SequentialRunner

CPU_CHUNK = (12, 4, 64)
"""Tokens of prompts that are read beside a step on a CPU: so many, so many more for each answer under way, and at most
so many. With them a step takes two to three times as long; a GPU hardly notices."""

logger = logging.getLogger("camml.serving")


class TransformersEngine(FrontEngine):
    """An `Engine` on a model in this process; one thread runs the model, others open pictures and write prompts."""

    def __init__(
        self,
        front: PromptEncoder,
        slots: int,
        static: bool = False,
        prefill_tokens: int = 512,
        chunk_tokens: int | None = None,
        memory: str | int | None = None,
    ) -> None:
        super().__init__(front)
        self.slots = slots
        self._batch: Batch | SequentialRunner
        free_memory = _memory.budget(memory, front.device)
        try:
            front.take_apart()
            check_attention(front)
            layout = layout_of(front.language_model)
        except Exception as error:  # whatever a model does of its own, it can still answer by itself
            logger.warning("one request is answered at a time: %s", first_line(error))
            self._batch = SequentialRunner(front, free_memory)
        else:
            chunk = _chunk(chunk_tokens, front.device.type, prefill_tokens)
            self._batch = Batch(front, layout, slots, free_memory, static, prefill_tokens, chunk)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="camml-read")

    async def prepare(self, request: Request) -> Prepared:
        """See `Engine`."""
        if not 1 <= request.n <= self.slots:
            raise OptionError(f"n is {request.n}; this server gives 1 to {self.slots} answers to a question")
        prepared = await asyncio.get_running_loop().run_in_executor(self._readers, self._front.prepare, request)
        self._batch.check(prepared)
        return prepared

    async def generate(self, prepared: Prepared) -> AsyncIterator[Piece]:
        """See `Engine`."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Piece | BaseException] = asyncio.Queue()
        job = Job(prepared, loop, arrived)
        self._batch.submit(job)
        unfinished = prepared.request.n
        try:
            while unfinished:
                piece = await arrived.get()
                if isinstance(piece, BaseException):
                    raise piece
                unfinished -= piece.finish_reason is not None
                yield piece
        finally:
            job.cancelled = True

    def status(self) -> Mapping[str, float]:
        """See `Engine`."""
        return self._batch.status()

    def healthy(self) -> bool:
        """See `Engine`."""
        return self._batch.is_alive()

    async def close(self) -> None:
        """See `Engine`."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._batch.close)


def _chunk(asked: int | None, device: str, most: int) -> Callable[[int], int]:
    """Return how many tokens of prompts are read beside a step, by the number of answers under way."""
    if asked is not None or device != "cpu":
        return lambda answers: min(asked or most, most)
    least, more, most_there = CPU_CHUNK
    return lambda answers: min(least + more * answers, most_there, most)


def load(
    model: Path,
    use: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    prompt_style: str | None = None,
    slots: int = 32,
    cache: str = "dynamic",
    prefill_tokens: int = 512,
    chunk_tokens: int | None = None,
    memory: str | int | None = None,
    sample_cache: str | None = None,
) -> TransformersEngine:
    """Return the engine with the model in a folder.

    Args:
      use: `perceiver` (CaMML models), `interleaved` (any vision-language model) or `in_prompt` (any language model);
        None for what fits.
      slots: answers at a time.
      cache: `dynamic` makes room for keys and values of each answer, and gives it back; `static` takes all of it at
        once, for `slots` answers as long as the model reads.
      prefill_tokens: tokens of prompts that are read in one step while nobody gets an answer.
      chunk_tokens: the same while somebody does, who then waits so much longer for the next token; None for what suits
        the device.
      memory: for keys and values, such as `4GB`; None for half of what is free.
      sample_cache: a folder in which a CaMML model keeps what it makes of each sample.

    Raises:
      ModelFolderError, UnknownNameError: the model cannot be used.
      OptionError: a setting out of range.
    """
    for name, value in (("slots", slots), ("prefill_tokens", prefill_tokens), ("chunk_tokens", chunk_tokens)):
        if name == "chunk_tokens" and value is None:
            continue
        if not isinstance(value, int) or value < 1:
            raise OptionError(f"{name} is {value!r}; give a whole number from 1")
    if cache not in ("dynamic", "static"):
        raise OptionError(f"no cache {cache!r}; there are: dynamic, static")
    options: dict[str, Any] = {"prompt_style": prompt_style} if prompt_style else {}
    front = _front.load(model, use, device, dtype, sample_cache, **options)
    return TransformersEngine(front, slots, cache == "static", prefill_tokens, chunk_tokens, memory)
