"""Grounded decoding: answers held to words of the samples by grammars of llguidance.

A small model that copies a code or a name now and then drops its last letter or says one that is like it. Held to the
words of its samples it cannot: `99/334U` is not cut to `99/334`, and no name is made up.
"""

import json
import logging
from collections.abc import Collection, Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import torch
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer
from torch import Tensor
from transformers import LogitsProcessor

from camml.answering import Decoding
from camml.refusals import REFUSAL
from camml.types import Context, Query

_logger = logging.getLogger("camml")

LONGEST = 100_000
"""Most characters of the samples' texts in a grammar; beyond it, only the passages that were read."""
COUNTED = 20
"""Numbers up to this one are always allowed, so that an answer can count the samples."""
PLAIN = (REFUSAL, "yes", "no", "Yes", "No", *map(str, range(COUNTED + 1)))


class GrammarState:
    """The state of one answer that is held to a form."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def copy(self) -> "GrammarState":
        """Return the state of another answer that has come as far, which costs next to nothing."""
        return GrammarState(self._matcher.deep_copy())

    def allowed(self, vocabulary: int, device: torch.device) -> Tensor:
        """Return which tokens may come next, bool[V]."""
        bits = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        mask = (bits[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
        known = mask.flatten()[:vocabulary].bool()
        if len(known) < vocabulary:  # rows of the head that stand for no token
            known = torch.cat([known, known.new_zeros(vocabulary - len(known))])
        return known.to(device)

    def take(self, token: int) -> None:
        """Go on by a token."""
        self._matcher.consume_token(token)

    @property
    def ended(self) -> bool:
        """Return whether nothing can follow but the end."""
        return bool(self._matcher.is_stopped())


class Grammars:
    """Forms of answers for one tokenizer, by the grammars of llguidance.

    Args:
      stop_ids: the tokens that end an answer, which may come only where it is complete.
    """

    def __init__(self, tokenizer: Any, stop_ids: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._stop_ids = sorted(stop_ids)
        self._lock = Lock()

    def matcher(self, grammar: str) -> Any:
        """Return the beginning of what a grammar describes.

        Raises:
          ValueError: it cannot be used.
        """
        matcher = LLMatcher(self._known, grammar)
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher

    def in_words_of(self, query: Query, context: Context) -> GrammarState | None:
        """Return the beginning of an answer in words of a context and its question; None where there are no samples."""
        matcher, _ = self._tried(query, context)
        return None if matcher is None else GrammarState(matcher)

    def usable(self, query: Query, context: Context) -> str | None:
        """Return the grammar of such an answer, for who makes a matcher of it elsewhere; None where there is none."""
        return self._tried(query, context)[1]

    def _tried(self, query: Query, context: Context) -> tuple[Any, str | None]:
        """Return a matcher and its grammar, neither where there are no samples or the grammar cannot be used."""
        grammar = words_of(query, context)
        if grammar is None:
            return None, None
        try:
            return self.matcher(grammar), grammar
        except ValueError as error:  # free words are better than no answer
            _logger.warning("the answer is not held to words of its samples: %s", " ".join(str(error).split())[:200])
            return None, None

    @property
    def _known(self) -> Any:
        with self._lock:
            return self._wrapped

    @cached_property
    def _wrapped(self) -> Any:
        return from_tokenizer(self._tokenizer, eos_token=self._stop_ids)


def words_of(query: Query, context: Context) -> str | None:
    """Return the grammar of llguidance for any run of whole words of a sample or of the question, and a few answers.

    These are yes, no, small numbers, and that it is not in the samples.

    Example:
        >>> from camml.types import Neighbor, Sample
        >>> context = (Neighbor(Sample("a", "Locker W-86"), 1.0),)
        >>> print(words_of(Query("Which locker?"), context).splitlines()[1])
        TEXT_0: %regex {"substring_words": "Locker W-86"}
    """
    if not context:
        return None
    whole = sum(len(neighbor.sample.text) for neighbor in context) <= LONGEST
    texts = [neighbor.sample.text if whole else neighbor.text for neighbor in context]
    texts = [text.encode("utf-8", "replace").decode() for text in dict.fromkeys([*texts, query.text]) if text.strip()]
    names = [f"TEXT_{number}" for number in range(len(texts))]
    lines = ["start: " + " | ".join([*names, *map(json.dumps, PLAIN)])]
    lines += [
        f"{name}: %regex {json.dumps({'substring_words': text})}" for name, text in zip(names, texts, strict=True)
    ]
    return "\n".join(lines)


class GrammarLogitsProcessor(LogitsProcessor):
    """Leaves each row of a generation only the tokens that its form allows; None holds a row to nothing."""

    def __init__(self, forms: Sequence[GrammarState | None]) -> None:
        self._forms = forms
        self._begun = False

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        for row, form in enumerate(self._forms):
            if form is None:
                continue
            if self._begun and not form.ended:
                form.take(int(input_ids[row, -1]))
            scores[row] = scores[row].masked_fill(~form.allowed(scores.shape[1], scores.device), -torch.inf)
        self._begun = True
        return scores


class Grounding:
    """The forms of answers that one model gives in words of its samples.

    Args:
      usual: whether it does where nobody says so.

    Attributes:
      grammars: those of its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any, usual: bool = False) -> None:
        self.usual = usual
        self.grammars = Grammars(tokenizer, stop_ids(model, tokenizer))

    def wanted(self, decoding: Decoding) -> bool:
        """Return whether answers are held to words of the samples."""
        return self.usual if decoding.grounded is None else decoding.grounded

    def forms(
        self, queries: Sequence[Query], contexts: Sequence[Context], decoding: Decoding
    ) -> Sequence[GrammarState | None]:
        """Return what the answers to some questions are held to; nothing where they are free."""
        if not self.wanted(decoding):
            return ()
        return [self.grammars.in_words_of(*pair) for pair in zip(queries, contexts, strict=True)]


def stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer, as `generate` takes them."""
    ends: int | Sequence[int] | None = model.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    ids = [ends] if isinstance(ends, int) else ends or []
    return frozenset(ids)
