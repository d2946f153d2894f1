"""Parts that every way of answering shares: where a model runs, how it decodes, how its text streams out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from queue import Empty
from threading import Event, Thread
from typing import Any, TypeVar

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TextIteratorStreamer,
    TopPLogitsWarper,
)

from camml.answering import Decoding
from camml.answering._grounding import GrammarLogitsProcessor, GrammarState
from camml.errors import TooLongError
from camml.types import Context, Sample

Inputs = TypeVar("Inputs")

_HEARTBEAT = 0.5  # seconds between looks at a worker that has sent nothing


def generation_options(decoding: Decoding, forms: Sequence[GrammarState | None] = ()) -> dict[str, Any]:
    """Return the arguments of transformers' `generate` for `decoding`.

    `generate` draws from the random numbers of the whole process, so tokens are drawn here and it takes the likeliest.

    Args:
      forms: what the answer of each row is held to.
    """
    options: dict[str, Any] = {"max_new_tokens": decoding.max_new_tokens, "do_sample": False}
    options |= {"temperature": None, "top_p": None, "top_k": None}
    steps: list[LogitsProcessor] = [GrammarLogitsProcessor(forms)] if any(forms) else []
    steps += [_Draw(decoding)] if decoding.temperature > 0 else []
    return options | ({"logits_processor": LogitsProcessorList(steps)} if steps else {})


def generate(
    model: Any, inputs: Mapping[str, Any], decoding: Decoding, forms: Sequence[GrammarState | None] = ()
) -> torch.Tensor:
    """Return the tokens that a model writes behind its prompts, int64[B, N], padded at the end."""
    with torch.inference_mode():
        sequences = model.generate(**inputs, **generation_options(decoding, forms))
    written: torch.Tensor = sequences[:, inputs["input_ids"].shape[1] :]
    return written


class _Draw(LogitsProcessor):
    """Draws the next token of each row, by random numbers that are the request's own, and leaves it the only choice.

    Each row draws as if it were alone, so that an answer does not depend on those beside it.
    """

    def __init__(self, decoding: Decoding) -> None:
        self._seed = decoding.seed
        self._steps: list[Any] = [TemperatureLogitsWarper(decoding.temperature)]
        if decoding.top_p < 1:
            self._steps.append(TopPLogitsWarper(decoding.top_p))
        self._generators: list[torch.Generator] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        for step in self._steps:
            scores = step(input_ids, scores)
        if not self._generators:
            self._generators = [self._generator(scores.device) for _ in range(len(scores))]
        shares = scores.float().softmax(-1)
        drawn = [torch.multinomial(row, 1, generator=own) for row, own in zip(shares, self._generators, strict=True)]
        only = torch.full_like(scores, -torch.inf)
        return only.scatter(1, torch.stack(drawn), 0.0)

    def _generator(self, device: torch.device) -> torch.Generator:
        generator = torch.Generator(device)
        if self._seed is None:
            generator.seed()
        else:
            generator.manual_seed(self._seed)
        return generator


def check_fits(tokens: int, decoding: Decoding, limit: int | None) -> None:
    """Raise a TooLongError if a prompt of `tokens` leaves no room for the answer in a model that reads `limit`."""
    if limit is not None and tokens + decoding.max_new_tokens > limit:
        raise TooLongError(
            f"the question makes a prompt of {tokens} tokens; with an answer of up to {decoding.max_new_tokens} "
            f"that is more than the {limit} this model reads: shorten the question or the answer (max_new_tokens)"
        )


def fit_samples(
    context: Context,
    write: Callable[[Sequence[Sample]], Inputs],
    length: Callable[[Inputs], int],
    tokenizer: Any,
    decoding: Decoding,
    limit: int | None,
) -> tuple[Inputs, tuple[str, ...]]:
    """Write a question with its samples, shortened until prompt and answer fit the model: the farthest sample first.

    Args:
      write: makes the prompt, or the inputs of the model, with these samples.
      length: counts the tokens of what `write` made.
      limit: the tokens that the model reads; None for any number.

    Returns:
      what `write` made, and a note for each sample that was cut or left out.

    Raises:
      TooLongError: the question alone is too long.
    """
    samples = [neighbor.read for neighbor in context]
    notes: dict[str, str] = {}
    while True:
        written = write(samples)
        tokens = length(written)
        excess = 0 if limit is None else tokens + decoding.max_new_tokens - limit
        if excess <= 0:
            return written, tuple(notes.values())
        if not samples:
            check_fits(tokens, decoding, limit)
        last = samples.pop()
        read = tokenizer.encode(last.text, add_special_tokens=False)[: -excess - 1]
        shorter = tokenizer.decode(read, skip_special_tokens=True) if read else ""
        if shorter and shorter != last.text:
            samples.append(replace(last, text=shorter))
            notes[last.id] = f"sample {last.id}: text cut to {len(read)} tokens"
        else:
            notes[last.id] = f"sample {last.id}: left out, no room for it"


def log_probability(model: Any, inputs: Mapping[str, Any], answer: Sequence[int]) -> float:
    """Return the logarithm of the probability that a model gives the tokens of an answer after a prompt.

    Args:
      inputs: of the model for one prompt, without padding.
      answer: the tokens.
    """
    if not answer:
        return 0.0
    length = inputs["input_ids"].shape[1]
    grown = dict(inputs)
    for name, tensor in inputs.items():
        if isinstance(tensor, torch.Tensor) and tensor.shape == (1, length):  # one number for each token
            more = torch.zeros(1, len(answer), dtype=tensor.dtype, device=tensor.device)
            if name == "input_ids":
                more[0] = torch.tensor(list(answer))
            elif name == "attention_mask":
                more += 1
            grown[name] = torch.cat([tensor, more], dim=1)
    with torch.inference_mode():
        logits = model(**grown).logits[0, length - 1 : -1].float()
    chosen = grown["input_ids"][0, length:, None].to(logits.device)
    return float(logits.log_softmax(-1).gather(1, chosen).sum())


class _Stop(StoppingCriteria):
    """Ends a generation whose reader has gone."""

    def __init__(self, event: Event) -> None:
        self.event = event

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self.event.is_set(), device=input_ids.device)


def stream_text(
    model: Any, tokenizer: Any, inputs: Mapping[str, Any], decoding: Decoding, forms: Sequence[GrammarState | None] = ()
) -> Iterator[str]:
    """Yield the pieces of one generated text; closing the iterator ends the generation."""
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=_HEARTBEAT, skip_special_tokens=True)
    gone, failures = Event(), list[BaseException]()
    options = {**inputs, **generation_options(decoding, forms), "streamer": streamer}

    def work() -> None:
        try:
            with torch.inference_mode():
                model.generate(**options, stopping_criteria=StoppingCriteriaList([_Stop(gone)]))
        except BaseException as error:  # handed to the reader below
            failures.append(error)
            streamer.text_queue.put(streamer.stop_signal)  # `end` decodes first, which may be what failed

    worker = Thread(target=work, daemon=True)
    worker.start()
    try:
        while True:
            alive = worker.is_alive()  # before the look: it may say its last words and end right behind it
            try:
                piece = next(streamer)
            except StopIteration:
                break
            except Empty:
                if not alive:
                    break
                continue
            if piece:
                yield piece
    finally:
        gone.set()
        worker.join()
    if failures:
        raise failures[0]
