"""Errors as HTTP clients of the OpenAI API expect to read it."""

import errno
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException, Response

from camml.errors import (
    BusyError,
    CaMMLError,
    DiskError,
    EmptyStoreError,
    ImageError,
    InputError,
    StoreLockedError,
    StoreNotFoundError,
    TooLargeError,
    TooLongError,
)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What the operating system says of a disk that takes no more."""

DISK = "the server's disk is full or cannot be written"

RETRY_AFTER = 2
"""Seconds after which trying again is worth it."""

TOO_LONG = "context_length_exceeded"
"""The code by which clients know that a shorter conversation may be answered. Source: OpenAI's."""
LENGTHS = "max_tokens, max_completion_tokens; max_output_tokens in /v1/responses"
"""The fields of requests that limit the tokens of an answer."""

KINDS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""The `type` of an error by its status; other statuses below 500 are invalid requests too."""


class ApiError(HTTPException):
    """A request that is refused.

    Args:
      status: of HTTP.
      message: what was wrong and what to do.
      code: for programs.
      param: the field of the request that it is about.
    """

    def __init__(
        self, status: int, message: str, code: str, param: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.message = message
        self.code = code
        self.param = param

    def body(self) -> dict[str, Any]:
        """Return it as JSON."""
        status = self.status_code
        kind = KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """Return it as the whole answer."""
        body = json.dumps(self.body(), ensure_ascii=False).encode("utf-8", "replace")  # it may quote broken text
        return Response(body, self.status_code, self.headers, "application/json")


_PATH = re.compile(r"(?<![\w./:])(/[\w.-]+)/[^'\":;,()]*")


def without_paths(text: str) -> str:
    """Return a message without paths of this machine's disk, which are nobody's business outside."""
    return _PATH.sub(lambda match: "a file of the server" if os.path.isdir(match[1]) else match[0], text)


def overloaded(message: str) -> ApiError:
    """Return the refusal of a request that may be tried again soon."""
    return ApiError(503, message, "overloaded", headers={"Retry-After": str(RETRY_AFTER)})


def about(param: str, error: InputError) -> ApiError:
    """Return the refusal of a field for what was wrong with it."""
    return ApiError(400, f"{param}: {without_paths(str(error))}", "invalid_value", param)


def of_exception(error: BaseException) -> ApiError:
    """Return the answer to what went wrong; what is not the client's fault says no more than that."""
    match error:
        case ApiError():
            return error
        case StoreNotFoundError():
            return ApiError(404, "the datastore is not there any more", "store_not_found", "store")
        case EmptyStoreError():
            return ApiError(400, "the datastore holds no samples", "invalid_value", "store")
        case ImageError():
            return ApiError(400, without_paths(str(error)), "invalid_image")
        case TooLargeError():
            return ApiError(413, str(error), TOO_LONG, "messages")
        case TooLongError():
            return ApiError(400, str(error).replace("max_new_tokens", LENGTHS), TOO_LONG, "messages")
        case BusyError():
            return ApiError(429, str(error), "busy", headers={"Retry-After": str(RETRY_AFTER)})
        case InputError():
            return ApiError(400, without_paths(str(error)), "invalid_value")
        case StoreLockedError():
            return overloaded("the datastore is being written by another process; try again")
        case DiskError():
            return ApiError(507, DISK, "disk")
        case OSError() if error.errno in FULL:
            return ApiError(507, DISK, "disk")
        case CaMMLError():
            return ApiError(500, "the server could not do this; its log says why", "server_error")
        case _:
            return ApiError(500, "the server made a mistake; its log says more", "server_error")
