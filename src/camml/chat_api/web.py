"""One request over HTTP, to the address that the user gave and no other; its answer is read within a size."""

import http.client
import urllib.error
import urllib.request
import zlib
from email.utils import parsedate_to_datetime
from functools import cache
from math import isfinite
from time import time
from typing import Any
from urllib.parse import urljoin, urlsplit

from camml.chat_api.endpoint import REDIRECTS
from camml.errors import FetchError

MAX_ANSWER = 64 * 2**20
"""Bytes of the largest answer that is read, packed or not."""
_GZIP = 16 + zlib.MAX_WBITS


class _Stays(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: urllib's own would ask for the new address without what is posted."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: http.client.HTTPMessage) -> None:
        """Leave the answer as it is, which makes it an HTTPError."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


@cache
def _client() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Stays)


def opened(request: urllib.request.Request, timeout: float) -> http.client.HTTPResponse:
    """Return the answer to a request, to be closed.

    Raises:
      HTTPError: its status is no success; a redirection is none, see `moved`.
      OSError: there is none.
      HTTPException: it is not HTTP.
    """
    answer: http.client.HTTPResponse = _client().open(request, timeout=timeout)
    return answer


def body(answer: http.client.HTTPResponse) -> bytes:
    """Return what an answer holds, unpacked; some endpoints pack it though nobody asked for that.

    Raises:
      FetchError: it is larger than MAX_ANSWER, or packed in a way that cannot be read.
      OSError: the connection broke.
      HTTPException: it ends too early.
      ValueError: it is packed, and broken.
    """
    sent = answer.read(MAX_ANSWER + 1)
    if len(sent) <= MAX_ANSWER:
        if answer.length:
            raise http.client.IncompleteRead(sent, answer.length)
        sent = _unpacked(sent, answer, MAX_ANSWER + 1)
    if len(sent) > MAX_ANSWER:
        raise FetchError(f"the answer of {_host(answer.url)} is larger than {MAX_ANSWER / 2**20:g} MB; none should be")
    return sent


def said(error: urllib.error.HTTPError, largest: int = 20_000) -> str:
    """Return the beginning of what comes with a refusal, unpacked; empty where it cannot be read."""
    try:
        sent = _unpacked(error.read(largest), error, largest)
    except (OSError, http.client.HTTPException, ValueError, FetchError):
        return ""
    return sent.decode(errors="replace")


def moved(error: urllib.error.HTTPError) -> str:
    """Return to which host an endpoint redirects, whose path and query may hold a secret; empty where to none."""
    place = error.headers.get("Location")
    if error.code not in REDIRECTS or not place:
        return ""
    return f"redirects to {_host(place, error.url)}, and a request is not sent on"


def seconds(text: str | None) -> float | None:
    """Return how long a Retry-After header asks to wait, in seconds or until a date; None where it does not say."""
    if not text:
        return None
    try:
        wait = float(text)
    except ValueError:
        try:
            wait = parsedate_to_datetime(text).timestamp() - time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, wait) if isfinite(wait) else None


def _host(place: str | None, base: str = "") -> str:
    try:
        return urlsplit(urljoin(base, place or "")).hostname or "elsewhere"
    except ValueError:
        return "elsewhere"


def _unpacked(sent: bytes, answer: http.client.HTTPResponse | urllib.error.HTTPError, largest: int) -> bytes:
    """Return at most so many bytes of what an answer sent in a coding; less of what breaks off.

    Raises:
      FetchError: nobody here reads the coding.
      ValueError: what was sent is not in it.
    """
    coding = str(answer.headers.get("Content-Encoding") or "").strip().lower()
    if coding in ("", "identity"):
        return sent
    if coding not in ("gzip", "x-gzip"):
        raise FetchError(
            f"the answer of {_host(answer.url)} is in the coding {coding!r}, which was not asked for and cannot be "
            "read; turn it off there"
        )
    try:
        return zlib.decompressobj(_GZIP).decompress(sent, largest)
    except zlib.error as error:
        raise ValueError(f"the answer is not the gzip that it says ({error})") from None
