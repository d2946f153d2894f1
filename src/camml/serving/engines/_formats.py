"""Answers in a form that was asked for: of each next token, whether it may come, by llguidance."""

import json
from collections.abc import Collection
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from camml.errors import OptionError
from camml.serving.engines import JSON

LONGEST_SCHEMA = 64_000
"""Characters; llguidance itself bounds what it makes of them."""
COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
MOST_COUNTED = 1000
"""The largest number that a schema may give for one of these, since each time is a state of its own."""
MOST_KEPT = 32
"""Schemas that are kept for the next answers."""


class Form:
    """The state of one answer in its form."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

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


class Formats:
    """Forms of answers for one tokenizer.

    Args:
      stop_ids: the tokens that end an answer, which may come only where it is complete.
    """

    def __init__(self, tokenizer: Any, stop_ids: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._stop_ids = sorted(stop_ids)
        self._lock = Lock()
        self._matcher = lru_cache(MOST_KEPT)(self._new_matcher)  # a schema takes long, and comes again

    def form(self, schema: str) -> Form:
        """Return the beginning of an answer that is JSON of a schema.

        Raises:
          OptionError: the schema is none, or says more than can be checked token by token.
        """
        if len(schema) > LONGEST_SCHEMA:
            raise OptionError(f"the schema has {len(schema)} characters; at most {LONGEST_SCHEMA} are read")
        check_counts(schema)
        return Form(self._matcher(schema).deep_copy())

    def _new_matcher(self, schema: str) -> Any:
        try:
            from llguidance import LLMatcher
        except ImportError:
            raise OptionError("response_format needs the package llguidance: pip install 'camml[serve]'") from None
        # white space where a model likes it lets a small one write nothing else
        options: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        try:
            grammar = LLMatcher.grammar_from_json_schema(schema, defaults=options)
            matcher = LLMatcher(self._known, grammar)
        except ValueError as error:
            raise _unusable(str(error)) from None
        if matcher.is_error():
            raise _unusable(matcher.get_error())
        return matcher

    @property
    def _known(self) -> Any:
        with self._lock:
            return self._wrapped

    @cached_property
    def _wrapped(self) -> Any:
        from llguidance.hf import from_tokenizer

        return from_tokenizer(self._tokenizer, eos_token=self._stop_ids)


def check_counts(schema: str) -> None:
    """Raise an OptionError for a schema that is no JSON, or that counts further than anybody needs."""
    try:
        waiting = [json.loads(schema)]
    except (ValueError, RecursionError) as error:
        raise _unusable(str(error)) from None
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            for name in COUNTS:
                if isinstance(count := part.get(name), int | float) and count > MOST_COUNTED:
                    raise _unusable(f"{name} is {count:g}; at most {MOST_COUNTED} can be counted")
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def schema_of(response_format: Any) -> str:
    """Return the schema that OpenAI's `response_format` asks for; empty for any text.

    Raises:
      OptionError: it is of another form.
    """
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "text":
        return ""
    if kind == "json_object":
        return JSON
    inner = response_format.get("json_schema", response_format) if kind == "json_schema" else None
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if not isinstance(schema, dict | bool):
        raise OptionError(
            "response_format can be {'type': 'text'}, {'type': 'json_object'}, or {'type': 'json_schema', "
            "'json_schema': {'name': ..., 'schema': {...}}}"
        )
    return json.dumps(schema)


def _unusable(reason: str) -> OptionError:
    line = " ".join(reason.split())[:300]
    return OptionError(f"answers cannot be held to this schema: {line}")
