"""Bodies of requests: measured before they are checked, and their first mistake in words."""

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute

from camml.json_values import unique_keys
from camml.serving.problems import ApiError

MOST_SIGNS = 500_000
"""Commas and colons of a body, more than any text that fits into one has; each may become a value of its own."""
MOST_FIELD = 4 * 1_000_000
"""Bytes of one field of a form: as many as the longest text can have in UTF-8."""
MOST_VALUES = 100_000
MOST_KEYS = 256
"""Of one object: each unknown or wrong one would become an error of its own."""

SAY_JSON = "send JSON, and say so: Content-Type: application/json"

_WORDS = {
    "string_type": "a string", "list_type": "a list", "bool_type": "true or false", "bool_parsing": "true or false",
    "int_type": "a number", "int_parsing": "a number", "int_from_float": "a whole number", "float_type": "a number",
    "float_parsing": "a number", "dict_type": "an object", "model_type": "an object",
    "model_attributes_type": "an object", "none_required": "null",
}  # fmt: skip
"""Values of another type than is wanted, by pydantic's names for that."""


class CheckedRoute(APIRoute):
    """A route whose bodies are measured before they are checked."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI."""
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            return await handle(_CheckedRequest(request.scope, request.receive))

        return checked


class _CheckedRequest(Request):
    def form(self, **limits: Any) -> Any:
        """See Starlette, whose limit of a field is below what ours may have; `arrival` bounds the whole body."""
        return super().form(**{"max_part_size": MOST_FIELD, **limits})

    async def json(self) -> Any:
        coding = self.headers.get("content-encoding", "identity")
        if coding.lower() != "identity":
            raise ApiError(
                415, f"bodies are not read in the coding {coding[:40]!r}; send plain JSON", "unsupported_body"
            )
        return read_json(await self.body())


def read_json(data: bytes) -> Any:
    """Return the document in a body.

    Raises:
      ApiError: it is no JSON, or has more parts than any request needs.
    """
    if data.count(b",") + data.count(b":") > MOST_SIGNS:
        raise _too_many("parts")
    try:
        document = json.loads(data, parse_constant=_refuse, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise ApiError(400, f"the body is not JSON: {reason}", "invalid_json") from None
    left = MOST_VALUES
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if len(value) > MOST_KEYS:
                raise ApiError(400, f"an object has {len(value)} keys; at most {MOST_KEYS} are read", "invalid_value")
            inner: Sequence[Any] = list(value.values())
        elif isinstance(value, list):
            inner = value
        else:
            continue
        left -= len(inner)
        if left < 0:
            raise _too_many("values")
        waiting += inner
    return document


def first_mistake(errors: Sequence[Mapping[str, Any]], body: Any) -> ApiError:
    """Return the answer to a body, or a query, that does not fit.

    Where a value may have one of several types, pydantic reports an error for each of them. The deepest error counts,
    and among those one that is about more than the type.

    Args:
      errors: as FastAPI collects them.
      body: what was sent.
    """
    mistakes = [(_place(error["loc"], error["type"], body), error) for error in errors]
    place, error = max(mistakes, key=lambda mistake: (len(mistake[0]), mistake[1]["type"] not in _WORDS))
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] in _WORDS:
        kinds = dict.fromkeys(_WORDS[e["type"]] for at, e in mistakes if at == place and e["type"] in _WORDS)
        message = f"Input should be {' or '.join(kinds)}"
    if message.startswith("Expected UploadFile"):
        message = "Input should be a file"
    if isinstance(body, bytes):
        message = SAY_JSON
    where = ".".join(map(str, place)) or str(error["loc"][0])
    return ApiError(400, f"{where[:200]}: {message}", "invalid_value", where[:200])


def _place(location: Sequence[str | int], kind: str, body: Any) -> tuple[str | int, ...]:
    """Return where in the body a mistake is, without the kinds of value that pydantic tried."""
    start, *rest = location
    if start != "body":
        return tuple(rest)
    place: list[str | int] = []
    for part in rest:
        if _holds(body, part):
            body = body[part]
            place.append(part)
        elif kind == "missing" and part is rest[-1]:
            place.append(part)
    return tuple(place)


def _holds(body: Any, part: str | int) -> bool:
    if isinstance(body, list):
        return isinstance(part, int) and part < len(body)
    return isinstance(body, Mapping) and part in body


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"there is no {constant} in it")


def _too_many(parts: str) -> ApiError:
    return ApiError(400, f"the body has more {parts} than any request needs", "invalid_value")
