"""What every way of answering shares: where a model runs, how it decodes, how its text streams out."""

from collections.abc import Iterator, Mapping
from queue import Empty
from threading import Event, Thread
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

from camml.answering import Decoding
from camml.errors import OptionError

_HEARTBEAT = 0.5  # seconds between looks at a worker that has sent nothing


def pick_device(name: str | None = None) -> torch.device:
    """The device called `name`, or the best there is.

    Raises:
      OptionError: no such device here.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"device {name!r} cannot be used ({str(error).splitlines()[0]}); leave it out") from None
    return device


def pick_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """The number type called `name`; without one bfloat16 on a GPU, float32 on a CPU.

    Raises:
      OptionError: no such type.
    """
    choices = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name is None:
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if name not in choices:
        raise OptionError(f"no dtype {name!r}; there are: {', '.join(choices)}")
    return choices[name]


def generation_options(decoding: Decoding) -> dict[str, Any]:
    """The arguments of transformers' `generate` for `decoding`."""
    if decoding.seed is not None:
        torch.manual_seed(decoding.seed)
    options: dict[str, Any] = {"max_new_tokens": decoding.max_new_tokens, "do_sample": decoding.temperature > 0}
    if decoding.temperature > 0:
        return options | {"temperature": decoding.temperature, "top_p": decoding.top_p}
    return options | {"temperature": None, "top_p": None, "top_k": None}


def check_fits(tokens: int, decoding: Decoding, limit: int | None) -> None:
    """Raise an OptionError if a prompt of `tokens` leaves no room for the answer in a model that reads `limit`."""
    if limit is not None and tokens + decoding.max_new_tokens > limit:
        raise OptionError(
            f"the question makes a prompt of {tokens} tokens; with an answer of up to {decoding.max_new_tokens} "
            f"that is more than the {limit} this model reads: shorten the question or the answer (max_new_tokens)"
        )


class _Stop(StoppingCriteria):
    """Ends a generation whose reader has gone."""

    def __init__(self, event: Event) -> None:
        self.event = event

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self.event.is_set(), device=input_ids.device)


def stream_text(model: Any, tokenizer: Any, inputs: Mapping[str, Any], decoding: Decoding) -> Iterator[str]:
    """The pieces of one generated text; closing the iterator ends the generation."""
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=_HEARTBEAT, skip_special_tokens=True)
    gone, failures = Event(), list[BaseException]()
    options = {**inputs, **generation_options(decoding), "streamer": streamer}

    def work() -> None:
        try:
            with torch.inference_mode():
                model.generate(**options, stopping_criteria=StoppingCriteriaList([_Stop(gone)]))
        except BaseException as error:  # handed to the reader below
            failures.append(error)
            streamer.end()

    worker = Thread(target=work, daemon=True)
    worker.start()
    try:
        while True:
            try:
                piece = next(streamer)
            except StopIteration:
                break
            except Empty:
                if not worker.is_alive():
                    break
                continue
            if piece:
                yield piece
    finally:
        gone.set()
        worker.join()
    if failures:
        raise failures[0]
