"""Structured output: answers held to a JSON schema by llguidance."""

import json
from functools import lru_cache
from typing import Any

from llguidance import LLMatcher

from camml.answering._grounding import Grammars, GrammarState
from camml.errors import OptionError
from camml.serving.engines import JSON

LONGEST_SCHEMA = 64_000
"""Characters; llguidance itself bounds what it makes of them."""
COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
MOST_COUNTED = 1000
"""The largest number that a schema may give for one of these, since each time is a state of its own."""
FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri", "unknown"}
)
"""Formats of strings that llguidance holds an answer to. Source: its 1.7.6, which refuses a schema with another."""
MOST_KEPT = 32
"""Schemas that are kept for the next answers."""


class Formats:
    """Forms of answers for one tokenizer."""

    def __init__(self, grammars: Grammars) -> None:
        self._grammars = grammars
        self._matcher = lru_cache(MOST_KEPT)(self._new_matcher)  # a schema takes long, and comes again

    def form(self, schema: str) -> GrammarState:
        """Return the beginning of an answer that is JSON of a schema.

        Raises:
          OptionError: the schema is none, or says more than can be checked token by token.
        """
        if len(schema) > LONGEST_SCHEMA:
            raise OptionError(f"the schema has {len(schema)} characters; at most {LONGEST_SCHEMA} are read")
        check_counts(schema)
        return GrammarState(self._matcher(schema).deep_copy())

    def _new_matcher(self, schema: str) -> Any:
        # white space where a model likes it lets a small one write nothing else
        options: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        try:
            return self._grammars.matcher(LLMatcher.grammar_from_json_schema(noted(schema), defaults=options))
        except ValueError as error:
            raise _unusable(str(error)) from None


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
                    raise _unusable(f"{name} is {float(str(count)):g}; at most {MOST_COUNTED} can be counted")
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def noted(schema: str) -> str:
    """Return a schema without formats that nothing is held to: by the standard, a format is no more than a note.

    Example:
      >>> noted('{"type": "string", "format": "password"}')
      '{"type": "string"}'
    """
    whole = json.loads(schema)
    waiting = [whole]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if isinstance(part.get("format"), str) and part["format"] not in FORMATS:
                del part["format"]
            waiting += [value for name, value in part.items() if name not in ("const", "enum")]  # these are no schemas
        elif isinstance(part, list):
            waiting += part
    return json.dumps(whole)


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
