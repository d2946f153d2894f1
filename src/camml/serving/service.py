"""Settings, datastores and an engine together: a question in, its evidence and then its answer out."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

from PIL import Image

from camml import assistant, evidence
from camml.answering import Decoding
from camml.assistant.threshold import Threshold
from camml.errors import EncoderMismatchError, ImageError, StoreLockedError, TooLargeError
from camml.features.reranking import Reranker
from camml.features.samples import folder_of
from camml.prompts import Turn
from camml.refusals import REFUSAL
from camml.serving import engines
from camml.serving.engines import Engine, Piece, Prepared, Request, Sampling
from camml.serving.engines._calls import CallForm, CallReader
from camml.serving.gate import Gate
from camml.serving.metrics import Metrics
from camml.serving.pictures import Pictures
from camml.serving.problems import ApiError
from camml.serving.searching import Search
from camml.serving.settings import Settings
from camml.serving.shelf import ServedDatastore
from camml.serving.tools import Tools
from camml.sizes import size_of
from camml.types import Context, Query

Result = TypeVar("Result")

MOST_STORE_REQUESTS = 64
"""Searches, embeddings and changes of datastores that may be at work or wait."""

WRITER_SECONDS = 10.0
"""How long a change waits for another process that writes to the datastore."""

MOST_LOOKS = 64
"""Thumbnails that are being made or wait."""

logger = logging.getLogger("camml.serving")


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a person, and how it is to be answered.

    Attributes:
      system: instructions that stand before the conversation; nothing is searched by them.
      store: the datastore to search; None for the server's first.
      shots: samples to use; None for what suits the model, 0 for an answer without any.
      search: how to do that.
      samples: given samples in their order, instead of searching.
      asked: the last turn, where it is more than the query; `history` holds those before.
      tools: that the answer may call.
    """

    query: Query
    decoding: Decoding
    history: tuple[Turn, ...] = ()
    system: str = ""
    store: str | None = None
    shots: int | None = None
    search: Search = field(default_factory=Search)
    samples: Context | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    shorten: bool = False
    id: str = ""
    notes: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    asked: Turn | None = None
    tools: Tools | None = None

    @property
    def turns(self) -> list[Turn]:
        """Return the whole conversation, the question last; instructions are the beginning of its first question."""
        turns = [*self.history, self.asked or Turn(self.query.text, None, tuple(filter(None, [self.query.image])))]
        if self.system:
            turns[0] = replace(turns[0], question=f"{self.system}\n\n{turns[0].question}")
        return turns


@dataclass(frozen=True, slots=True)
class Evidence:
    """The samples that an answer is made from, known before its first word.

    Attributes:
      store: where the context was found; None where it was given, or there is none.
      refusal: why there is nothing to answer from, so that the model is not asked, unless for JSON of a schema.
    """

    context: Context
    store: str | None
    prepared: Prepared
    notes: tuple[str, ...]
    retrieval_seconds: float
    refusal: str = ""


@dataclass(slots=True)
class Service:
    """Everything behind the HTTP interface. Made by `load`, used from one event loop.

    Attributes:
      shelves: the datastores by name.
      answers, store_work, looks: how much may be going on at a time.
      dead: the model has stopped, and the process should be started again.
      passages: how much of long texts is read.
    """

    settings: Settings
    engine: Engine
    shelves: Mapping[str, ServedDatastore]
    pictures: Pictures
    metrics: Metrics
    answers: Gate
    store_work: Gate
    started: float = field(default_factory=time.time)
    dead: bool = False
    passages: str = "auto"
    looks: Gate = field(default_factory=lambda: Gate(MOST_LOOKS, "pictures"))
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "camml-store"))
    # each kind of work that a client can make slow has threads of its own, so that it delays nothing else
    _changers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "camml-change"))
    _lookers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "camml-picture"))
    _fetchers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "camml-fetch"))
    _embedders: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "camml-embed"))

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """Open the datastores and load the model.

        A datastore that was built with another encoder than the model wants is searched with its own, and the log says
        so, with what to do: a server that has started before starts again.

        Raises:
          CaMMLError: something of it cannot be used.
        """
        model = assistant.load(settings.model, settings.engine_options.get("use"))
        for place in settings.stores.values():
            if settings.encoder is None:
                try:
                    model.check(place)
                except EncoderMismatchError as error:
                    logger.warning("%s", error)
        shelves = {
            name: ServedDatastore.open(
                name, place, settings.read_only, settings.store_images.get(name), settings.encoder
            )
            for name, place in settings.stores.items()
        }
        margin = model.settings.margin if settings.margin is None else settings.margin
        reranker = Reranker.load(settings.rerank) if settings.rerank and shelves else None
        for shelf in shelves.values():
            shelf.threshold = Threshold.of(shelf.datastore, settings.min_score, settings.fallback, margin)
            shelf.usual = Search(model.settings.mode, weights=settings.weights, rerank=reranker is not None)
            shelf.reranker = reranker
        engine = engines.load(settings.engine, model.folder, **_engine_options(settings, model.use))
        engine.default_shots = model.shots
        service = cls.of(settings, engine, shelves)
        service.passages = settings.passages or model.settings.passages
        return service

    @classmethod
    def of(cls, settings: Settings, engine: Engine, shelves: Mapping[str, ServedDatastore] | None = None) -> Self:
        """Return a service of parts that are there already."""
        shelves = shelves or {}
        service = cls(
            settings,
            engine,
            shelves,
            Pictures(settings),
            Metrics(engine, shelves),
            Gate(engine.slots + settings.max_waiting, "questions"),
            Gate(MOST_STORE_REQUESTS, "datastore requests"),
        )
        service.passages = settings.passages or "auto"
        return service

    @property
    def default_store(self) -> str | None:
        """The datastore of requests that name none."""
        return next(iter(self.shelves), None)

    def shelf(self, name: str | None) -> ServedDatastore:
        """Return the datastore called `name`.

        Raises:
          ApiError: there is none.
        """
        if name is None or name not in self.shelves:
            known = ", ".join(self.shelves) or "none"
            raise ApiError(404, f"no datastore {name!r} here; there are: {known}", "store_not_found", "store")
        return self.shelves[name]

    async def thread(self, work: Callable[..., Result], *args: Any) -> Result:
        """Return the result of blocking work, done beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    async def change(self, work: Callable[..., Result], *args: Any) -> Result:
        """Run blocking work that writes to a datastore, and try again while another process holds the lock.

        Changes are made one after another, in a thread of their own: searches do not wait for them.

        Raises:
          StoreLockedError: another process has written all the time.
        """
        end = time.monotonic() + WRITER_SECONDS
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._changers, work, *args)
            except StoreLockedError:
                if time.monotonic() > end:
                    raise
            await asyncio.sleep(0.2)  # in no thread, so that reading goes on

    async def look(self, work: Callable[..., Result], *args: Any) -> Result:
        """Run work that decodes pictures, and wait for its end even if the request is cancelled.

        It may write to a folder that is removed after the request, which must not happen while it writes.
        """
        job = self._lookers.submit(work, *args)
        try:
            return await asyncio.wrap_future(job)
        finally:
            await asyncio.gather(asyncio.wrap_future(job), return_exceptions=True)

    async def embed(self, work: Callable[..., Result], *args: Any) -> Result:
        """Run work that embeds, in the threads for embedding."""
        return await asyncio.get_running_loop().run_in_executor(self._embedders, work, *args)

    async def read(self, urls: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of pictures by their addresses, those on the web fetched side by side.

        Raises:
          ImageError: one cannot be had.
        """
        loop, wanted = asyncio.get_running_loop(), list(dict.fromkeys(urls))
        reads = [loop.run_in_executor(self._fetchers, self.pictures.read, url) for url in wanted]
        return dict(zip(wanted, await asyncio.gather(*reads), strict=True))

    async def picture(self, url: str) -> Image.Image:
        """Return the picture at an address.

        Raises:
          ImageError: it cannot be had, or is none.
        """
        data = await self.read([url])
        return await self.look(self.pictures.decode, data[url])

    async def ask(self, question: Question) -> AsyncGenerator[Evidence | Piece, None]:
        """Yield first the evidence, then the answers piece by piece; closing the generator ends them.

        Raises:
          CaMMLError, ApiError: the question cannot be answered; always before the evidence.
        """
        self._check_length(question)
        asked = time.perf_counter()
        context, store, notes = await self._context(question)
        refusal = ""
        if store is not None:
            threshold = self.shelf(store).threshold
            refusal = threshold.weakness(context)
            context = context if refusal else threshold.near(context)
        model = not refusal
        if refusal:
            notes = (*notes, refusal)
            acts = bool(question.tools or question.turns[-1].steps)
            if self.shelf(store).threshold.fallback == "model":
                context, refusal, model = (), "", True
            elif question.sampling.schema or acts:
                # words are no JSON of a schema, and a tool may know: the note says how near the samples are
                model, refusal = True, "" if context or acts else refusal
        retrieved = time.perf_counter() - asked
        prepared, context, unusable = await self._prepare(question, context)
        all_notes = question.notes + notes + unusable + prepared.notes
        yield Evidence(context, store, prepared, all_notes, retrieved, refusal)
        if not model:
            for index in range(question.n):
                yield Piece(REFUSAL, index, "stop")
            return
        pieces, readers = self.engine.generate(prepared), self._readers(question)
        try:
            async for piece in pieces:
                yield readers[piece.index].read(piece) if readers else piece
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]

    def _readers(self, question: Question) -> list[CallReader]:
        """Return what takes calls of tools out of the answers; nothing where there are no tools."""
        tools, form = question.tools, self.engine.calls
        if tools is None or form is None:
            return []
        form = CallForm() if tools.schema else form
        return [CallReader(form, tools.names, tools.single) for _ in range(question.n)]

    def _check_length(self, question: Question) -> None:
        """Refuse by its length alone what no tokens could make short enough: to count them takes long.

        Raises:
          TooLargeError: the question has more characters than any tokens that fit.
        """
        most = self.engine.most_characters
        length = sum(len(turn.question) + len(turn.answer or "") + len(str(turn.steps)) for turn in question.turns)
        length += len(str(question.tools.offered)) if question.tools else 0
        if most is not None and length > most:
            raise TooLargeError(
                f"the question has {length} characters, and the model reads fewer than {most}; shorten it"
            )

    async def _prepare(self, question: Question, context: Context) -> tuple[Prepared, Context, tuple[str, ...]]:
        """Return the question as the engine will read it, the samples as they can be used, and what to say of them."""
        context, notes = await self.look(evidence.usable, context, logger.warning)
        try:
            return await self.engine.prepare(_request(question, context)), context, notes
        except ImageError as error:  # the question's own picture is in memory, and was opened before
            if not any(neighbor.sample.image for neighbor in context):
                raise
            logger.warning("a stored picture broke while a question was read: %s", error)
        context, notes = evidence.without_pictures(context)
        return await self.engine.prepare(_request(question, context)), context, notes

    async def _context(self, question: Question) -> tuple[Context, str | None, tuple[str, ...]]:
        """Return the samples to answer from, where they were found, and what to say about that."""
        if question.samples is not None:
            return question.samples, None, ()
        name = question.store or self.default_store
        if question.shots == 0 or name is None:
            return (), None, ()
        shelf = self.shelf(name)
        shots = question.shots or self.engine.default_shots
        with self.metrics.retrieval.time():
            context = await self.thread(shelf.search, question.query, shots, question.search)
            count = len(context)
            budget = self.engine.budget(self.passages)
            if budget is not None:
                context = await self.thread(shelf.read, question.query.text, context, budget)
        few = (f"only {count} of {shots} samples were found in {name!r}",) if count < (question.shots or 1) else ()
        return context, name, few

    async def close(self) -> None:
        """Let go of model and threads."""
        await self.engine.close()
        for threads in (self._threads, self._changers, self._lookers, self._fetchers, self._embedders):
            threads.shutdown(wait=False, cancel_futures=True)


def _request(question: Question, context: Context) -> Request:
    """Return what the engine is asked."""
    *history, asked = question.turns
    return Request(
        question.query,
        context,
        question.decoding,
        question.stop,
        question.n,
        tuple(history),
        question.shorten,
        question.id,
        question.sampling,
        asked,
        question.tools.offered if question.tools else (),
    )


def score(value: float) -> float | None:
    """Return a score as JSON has it: None where samples were given, so that nobody has scored them."""
    return None if math.isnan(value) else round(value, 6)


def _engine_options(settings: Settings, use: str) -> dict[str, Any]:
    """Return the options of the engine, with the cache of samples beside a datastore, where one was made for it."""
    chosen = dict(settings.engine_options)
    cache = next(filter(None, map(folder_of, settings.stores.values())), None)
    if settings.engine == "transformers" and use == "perceiver" and cache:
        chosen.setdefault("sample_cache", str(cache))
    if settings.memory:
        key = "kv_cache_memory_bytes" if settings.engine == "vllm" else "memory"
        chosen[key] = size_of(settings.memory, "--memory")
    return chosen
