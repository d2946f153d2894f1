"""One answer on its way: which token comes next, what text is ready to be shown, and when it is over."""

from collections.abc import Sequence
from typing import Any

from camml.serving.engines import FinishReason, Piece, TokenLogprob
from camml.serving.engines._sampler import Sampler

UNFINISHED = "\ufffd"
"""What a tokenizer writes for bytes that are not a whole character yet."""


class AnswerText:
    """The text of an answer while its tokens come.

    Text is shown as soon as it cannot change any more: not while a character lacks bytes, while it may be the
    beginning of a stop word, or while it is white space that may be the end.

    Attributes:
      stopped: one of the stop words was said; what comes after it is not shown.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self.stopped = False
        self._tokenizer = tokenizer
        self._stop = tuple(word for word in stop if word)
        self._ids: list[int] = []
        self._base = self._read = 0  # tokens before which all is read, and up to which it is
        self._text = ""
        self._shown = 0
        self._begun = False

    def add(self, token: int) -> str:
        """Return the text that can be shown now that `token` was said."""
        self._ids.append(token)
        before = self._decode(self._ids[self._base : self._read])
        now = self._decode(self._ids[self._base :])
        if now.endswith(UNFINISHED) or len(now) <= len(before):
            return ""
        self._base, self._read = self._read, len(self._ids)
        return self._extend(now[len(before) :])

    def end(self) -> str:
        """Return the rest of the text, once no more tokens come."""
        before = self._decode(self._ids[self._base : self._read])
        shown = self._extend(self._decode(self._ids[self._base :])[len(before) :])
        return shown if self.stopped else shown + self._show(len(self._text))

    def _extend(self, text: str) -> str:
        if self.stopped:
            return ""
        reach = max(map(len, self._stop), default=1) - 1  # a stop word may have begun so many characters ago
        start = max(0, len(self._text) - reach)
        self._text += text
        ends = [(place + len(word), place) for word in self._stop if (place := self._text.find(word, start)) >= 0]
        if ends:  # the one that was complete first, however many characters a token brings
            self.stopped = True
            return self._show(min(ends)[1])
        return self._show(len(self._text) - self._held())

    def _held(self) -> int:
        """Return how many characters at the end may be the beginning of a stop word."""
        sizes = (
            size
            for word in self._stop
            for size in range(min(len(word) - 1, len(self._text)), 0, -1)
            if self._text.endswith(word[:size])
        )
        return max(sizes, default=0)

    def _show(self, end: int) -> str:
        text = self._text[self._shown : end].rstrip()
        self._shown += len(text)
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        return text

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))


class Answer:
    """One of the answers to a request, while it is generated; who chooses tokens elsewhere gives no `sampler`."""

    sampler: Sampler

    def __init__(
        self, index: int, allowed: int, stop_ids: frozenset[int], text: AnswerText, sampler: Sampler | None = None
    ) -> None:
        self.index = index
        self.allowed = allowed
        if sampler is not None:
            self.sampler = sampler
        self.said: list[int] = []
        self._logprobs: list[TokenLogprob] = []
        self._stop_ids = stop_ids
        self._text = text

    def take(self, token: int, logprob: TokenLogprob | None = None) -> Piece | None:
        """Return what to send after `token`; nothing where no text is ready and more is to come.

        Args:
          logprob: what is to be sent with it.
        """
        self.said.append(token)
        self._logprobs += [logprob] if logprob is not None else []
        reason: FinishReason | None = None
        if token in self._stop_ids:
            reason, text = "stop", self._text.end()
        else:
            text = self._text.add(token)
            if self._text.stopped:
                reason = "stop"
            elif len(self.said) >= self.allowed:
                reason, text = "length", text + self._text.end()
                reason = "stop" if self._text.stopped else reason
        if not text and reason is None:
            return None
        logprobs, self._logprobs = tuple(self._logprobs), []
        return Piece(text, self.index, reason, len(self.said), logprobs)
