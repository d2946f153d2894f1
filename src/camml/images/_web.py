"""Pictures at http and https addresses, within a size and a time."""

import http.client
import re
import time
import urllib.error
import urllib.request
from typing import BinaryIO
from urllib.parse import quote, urlsplit, urlunsplit

from camml.errors import ImageError

MAX_DOWNLOAD = 32 * 2**20
"""Bytes of the largest download."""


def read_url(url: str, *, timeout: float = 20.0, max_bytes: int = MAX_DOWNLOAD) -> bytes:
    """Read the content of an http or https address, following redirections to such addresses only.

    Args:
      url: the address.
      timeout: seconds without an answer, and also in all.
      max_bytes: the most that is downloaded.
    Raises:
      ImageError: another kind of address, no answer, an answer other than success, or too large.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise ImageError(f"{url}: not an http or https address; download it and give the path of the file")
    deadline = time.monotonic() + timeout
    try:
        request = urllib.request.Request(ascii_url(url), headers={"User-Agent": "camml", "Accept": "image/*"})
        with _web().open(request, timeout=timeout) as answer:
            return _download(answer, url, deadline, max_bytes)
    except urllib.error.HTTPError as error:
        raise ImageError(f"{url}: the server answers {error.code} {error.reason}; check the address") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise ImageError(f"{url}: cannot be downloaded ({reason}); check the address and the network") from error


def ascii_url(url: str) -> str:
    """Return an address with blanks and letters outside ASCII in path and query as %XX, as browsers ask for it.

    Raises:
      ValueError: it is no address.
    """
    parts = urlsplit(url)
    path, query = (re.sub(r"[^!-~]+", lambda part: quote(part[0]), text) for text in (parts.path, parts.query))
    return urlunsplit(parts._replace(path=path, query=query, fragment=""))


def _web() -> urllib.request.OpenerDirector:
    """Build a client that speaks HTTP alone: urllib's own would follow a redirection to FTP."""
    client = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        client.add_handler(handler())
    return client


def _download(answer: BinaryIO, url: str, deadline: float, max_bytes: int) -> bytes:
    """Read the body of an answer in pieces, so that the server decides neither its size nor its duration."""
    body = bytearray()
    while piece := answer.read1(2**16):  # type: ignore[attr-defined]
        body += piece
        if len(body) > max_bytes:
            raise ImageError(f"{url}: larger than the limit of {max_bytes / 2**20:g} MB; download and shrink it")
        if time.monotonic() > deadline:
            raise TimeoutError("too slow")
    return bytes(body)
