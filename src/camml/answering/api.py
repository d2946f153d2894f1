"""A baseline: a model behind an OpenAI-compatible endpoint, which is sent the texts and pictures of the samples."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

from PIL import Image

from camml import prompts
from camml.answering import Decoding
from camml.chat_api import ChatApi
from camml.errors import FetchError, OptionError
from camml.features.passages import Budget
from camml.images.data_urls import data_url
from camml.types import Context, Prediction, Query

PARALLEL = 8
"""Requests that are under way at once."""
WORKER = "camml-request"
"""The name of the threads that send them."""

T = TypeVar("T")
R = TypeVar("R")


class ApiAnswerer:
    """Answers with a model that others run; pictures travel inside the requests.

    Args:
      api: the endpoint and the model's name there.
      prompt_style: how the texts and the question are worded, one of `camml.prompts.PASTES`.
      see: whether pictures are sent; without, the model reads texts alone.

    Raises:
      UnknownNameError: there is no such wording.
    """

    def __init__(self, api: ChatApi, prompt_style: str = "plain", see: bool = True) -> None:
        prompts.paste("", [], prompt_style)
        self.api = api
        self.prompt_style = prompt_style
        self.see = see

    def answer(
        self, queries: Sequence[Query], contexts: Sequence[Context], decoding: Decoding | None = None
    ) -> list[Prediction]:
        """See `Answerer`; raises a FetchError where the endpoint does not answer, and then tries nothing again."""
        over = Event()

        def pause(seconds: float) -> None:
            self.api.sleep(seconds)
            if over.is_set():
                raise CancelledError

        api, how = replace(self.api, sleep=pause), decoding or Decoding()
        pairs = list(zip(queries, contexts, strict=True))
        return _in_parallel(lambda pair: self._ask(api, *pair, how), pairs, over)

    def prompt(self, query: Query, context: Context) -> str:
        """See `Answerer`."""
        texts = [neighbor.text for neighbor in context]
        marks = ["<image>" for _ in self._pictures(query, context)]
        return "\n".join([*marks, prompts.paste(query.text, texts, self.prompt_style)])

    def notes(self, query: Query, context: Context, decoding: Decoding | None = None) -> tuple[str, ...]:
        """See `Answerer`."""
        blind = not self.see and (query.image is not None or any(neighbor.sample.image for neighbor in context))
        return ("the model was sent no pictures",) if blind else ()

    def likelihood(self, query: Query, context: Context, answer: str) -> float:
        """See `Answerer`; an endpoint does not tell."""
        raise OptionError(
            f"{self.api.model} at {self.api.place} does not tell how likely an answer is; use a model here"
        )

    def budget(self, tokens: int | None = None) -> Budget | None:
        """See `Answerer`; tokens are counted as four characters, since nobody here knows the endpoint's tokenizer."""
        return None if tokens is None else Budget(tokens, lambda text: -(-len(text) // 4))

    def stream(self, query: Query, context: Context, decoding: Decoding | None = None) -> Iterator[str]:
        """See `Answerer`; the answer comes in one piece, or a FetchError where there is none."""
        prediction = self._ask(self.api, query, context, decoding or Decoding())
        if prediction.unanswered:
            raise FetchError(f"{self.api.model} at {self.api.place} gave no answer: {prediction.unanswered}")
        yield prediction.text

    def _ask(self, api: ChatApi, query: Query, context: Context, decoding: Decoding) -> Prediction:
        options: dict[str, Any] = {"max_tokens": decoding.max_new_tokens, "temperature": decoding.temperature}
        if decoding.temperature > 0:
            options |= {"top_p": decoding.top_p} | ({} if decoding.seed is None else {"seed": decoding.seed})
        before: list[dict[str, Any]] = []
        for turn in query.history:
            before += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer or ""}]
        reply = api.reply([*before, {"role": "user", "content": self._content(query, context)}], **options)
        notes, lacking = list(self.notes(query, context, decoding)), reply.lacking
        if reply.left_out:
            notes.append(f"the endpoint rejected {', '.join(reply.left_out)}; its own defaults apply")
        if lacking:
            notes.append(f"no answer: {lacking}" + (f" ({reply.text[:80]!r})" if reply.text else ""))
        return Prediction(
            "" if lacking else reply.text, context, self.prompt(query, context), reply.prompt_tokens, reply.new_tokens,
            tuple(notes), lacking,
        )  # fmt: skip

    def _content(self, query: Query, context: Context) -> list[dict[str, Any]]:
        """Return the parts of the message: each picture under its name, then texts and question."""
        parts: list[dict[str, Any]] = []
        for name, picture in self._pictures(query, context):
            parts += [{"type": "text", "text": name}, {"type": "image_url", "image_url": {"url": data_url(picture)}}]
        texts = [neighbor.text for neighbor in context]
        return [*parts, {"type": "text", "text": prompts.paste(query.text, texts, self.prompt_style)}]

    def _pictures(self, query: Query, context: Context) -> list[tuple[str, Path | Image.Image]]:
        if not self.see:
            return []
        samples = [
            (f"Picture of text {number}:", neighbor.sample.image)
            for number, neighbor in enumerate(context, start=1)
            if neighbor.sample.image
        ]
        return [*samples, *([] if query.image is None else [("Picture of the question:", query.image)])]


def _in_parallel(work: Callable[[T], R], rows: Sequence[T], over: Event) -> list[R]:
    """Return what `work` gives for each row, `PARALLEL` of them at once.

    Neither an error nor Ctrl-C waits for requests under way. The threads are daemons for that: for those of a
    `ThreadPoolExecutor` Python would wait before it exits.

    Args:
      over: is set in the end, however that comes.
    """
    futures: list[Future[R]] = [Future() for _ in rows]
    waiting = deque(zip(futures, rows, strict=True))

    def do() -> None:
        with suppress(IndexError):
            while not over.is_set():
                future, row = waiting.popleft()
                try:
                    future.set_result(work(row))
                except BaseException as error:
                    future.set_exception(error)

    try:
        for _ in range(min(PARALLEL, len(rows))):
            Thread(target=do, name=WORKER, daemon=True).start()
        return [future.result() for future in futures]
    finally:
        over.set()


def load(
    model: Path | str,
    device: str | None = None,
    dtype: str | None = None,
    prompt_style: str = "plain",
    base_url: str | None = None,
    see: bool = True,
) -> ApiAnswerer:
    """Return the model of that name at `base_url` or $OPENAI_BASE_URL, with the key in $OPENAI_API_KEY.

    Raises:
      OptionError: no address, or the public endpoint without a key.
    """
    return ApiAnswerer(ChatApi.of_environment(str(model), base_url), prompt_style, see)
