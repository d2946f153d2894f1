"""Texts that stream out of a thread which generates them."""

import threading
from queue import Empty
from typing import Any

import pytest
import torch
from transformers import TextIteratorStreamer

from camml.answering import Decoding, _generation
from camml.answering._generation import stream_text
from tests import tiny


class Model:
    """Says some words, or fails."""

    def __init__(self, tokens: list[int], error: Exception | None = None) -> None:
        self.tokens, self.error = tokens, error
        self.may_speak = threading.Event()
        self.may_speak.set()
        self.worker: threading.Thread | None = None

    def generate(self, streamer: TextIteratorStreamer, **_: Any) -> None:
        self.worker = threading.current_thread()
        assert self.may_speak.wait(30)
        streamer.put(torch.tensor([[1]]))  # the prompt
        for token in self.tokens:
            streamer.put(torch.tensor([token]))
        if self.error:
            raise self.error
        streamer.end()


@pytest.fixture
def tokenizer() -> Any:
    return tiny.tokenizer()


def read(model: Model, tokenizer: Any) -> list[str]:
    """The pieces of a text, in a thread that may not hang."""
    pieces, failures = list[str](), list[Exception]()

    def work() -> None:
        try:
            pieces.extend(stream_text(model, tokenizer, {}, Decoding()))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "the stream does not end"
    if failures:
        raise failures[0]
    return pieces


def test_a_text_that_ends_between_two_looks_is_whole(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(tokenizer.encode("red square", add_special_tokens=False))
    model.may_speak.clear()

    class Late(TextIteratorStreamer):  # type: ignore[misc]
        """Finds nothing at the first look, after which the whole text comes before anything else happens."""

        def __next__(self) -> str:
            if not model.may_speak.is_set():
                model.may_speak.set()
                while model.worker is None:
                    threading.Event().wait(0.01)
                model.worker.join(30)
                raise Empty
            return str(super().__next__())

    monkeypatch.setattr(_generation, "TextIteratorStreamer", Late)
    assert "".join(read(model, tokenizer)).strip() == "red square"


def test_a_failure_is_raised_behind_what_was_said(tokenizer: Any) -> None:
    error = ValueError("no memory")
    with pytest.raises(ValueError, match="no memory"):
        read(Model(tokenizer.encode("red square", add_special_tokens=False), error), tokenizer)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_text_that_cannot_be_read_is_one_failure(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: Any, **__: Any) -> str:
        raise ValueError("no such token")

    model = Model(tokenizer.encode("red square", add_special_tokens=False))
    monkeypatch.setattr(tokenizer, "decode", decode)
    with pytest.raises(ValueError, match="no such token"):
        read(model, tokenizer)
