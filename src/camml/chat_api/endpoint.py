"""The address and the key of an endpoint, checked before anything is sent, so that no error shows the key."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request

from camml import __version__
from camml.errors import OptionError

PUBLIC = "https://api.openai.com/v1"
REDIRECTS = (301, 302, 303, 307, 308)
"""HTTP statuses that name another address."""
SHORT = 8
"""Characters below which a key may be a part of usual words."""


def check_address(text: str, name: str) -> str:
    """Return an address without white space around it and slashes at its end; it may have a query.

    Args:
      name: what the address is called in the error.

    Raises:
      OptionError: no request can be sent there, or it holds a password, which is not shown.
    """
    address = text.strip()
    if not address.lower().startswith(("http://", "https://")):
        raise OptionError(f"{name} {text!r} should begin with http:// or https://")
    if "@" in re.split("[/?#]", address.partition("://")[2])[0]:
        raise OptionError(f"{name} holds a user name or a password; leave them out and give a key instead")
    if not _can_be_asked(address):
        raise OptionError(f"no request can be sent to {name} {text!r}; give one like http://HOST:PORT/v1")
    if "#" in address:
        raise OptionError(f"{name} is not a place in a page; leave out {address[address.index('#') :]!r}")
    place, mark, query = address.partition("?")
    return f"{place.rstrip('/')}{mark}{query}"


def address_of(base: str, path: str) -> str:
    """Return the address of `path` below a checked address, whose query stays behind it.

    Example:
      >>> address_of("https://here/v1?api-version=1", "chat/completions")
      'https://here/v1/chat/completions?api-version=1'
    """
    place, mark, query = base.partition("?")
    return f"{place}/{path}{mark}{query}"


def shown(base: str) -> str:
    """Return a checked address as messages show it: without its query, which may hold a key."""
    return base.partition("?")[0]


def _can_be_asked(address: str) -> bool:
    """Return whether an address has a host and nothing that HTTP cannot say."""
    try:
        parts = urlsplit(address)
        _ = parts.port, (parts.hostname or "").encode("idna")  # which raise ValueErrors for what cannot be
    except ValueError:
        return False
    plain = address.isprintable() and not any(map(str.isspace, address)) and f"{parts.path}{parts.query}".isascii()
    return plain and bool(parts.hostname)


def check_key(text: str, name: str) -> str:
    """Return a key without the white space that a file leaves around it.

    Args:
      name: of where the key is from, for the error.

    Raises:
      OptionError: it holds a character that no header of HTTP takes; the key is not shown.
    """
    key = text.strip()
    wrong = next((place for place, sign in enumerate(key, 1) if not (sign.isascii() and sign.isprintable())), 0)
    if wrong:
        raise OptionError(
            f"the API key in {name} holds a character that cannot be sent (its {wrong}. of {len(key)}, not shown "
            "here): only printable ASCII can; copy the key once more"
        )
    return key


def json_request(address: str, content: Any, key: str) -> Request:
    """Return a request that posts JSON, or gets an answer to None. The key goes to that address alone.

    It has this client's name: what stands before endpoints may refuse that of urllib.

    Example:
      >>> json_request("http://127.0.0.1:8000/v1/chat/completions", {}, "sk-1").unredirected_hdrs
      {'Authorization': 'Bearer sk-1'}
    """
    headers = {"Content-Type": "application/json", "User-Agent": f"camml/{__version__}"}
    request = Request(address, None if content is None else json.dumps(content).encode(), headers)
    if key:
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    return request


@contextmanager
def cut_at(end: float, line: socket.socket) -> Iterator[None]:
    """Shut a connection down at a time, whatever is being said on it: HTTP and TLS only bound the wait for more bytes.

    Args:
      end: seconds of the monotonic clock.
      line: a duplicate of its socket, which is closed in the end; the original may be wrapped for TLS meanwhile.
    """

    def cut() -> None:
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    watch = threading.Timer(max(0.0, end - time.monotonic()), cut)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        line.close()


def without_key(text: str, key: str) -> str:
    """Return what an endpoint says without the key, should it repeat that.

    A short key is taken out only where it stands alone: as a part of words it would be no secret, and garble them.
    """
    if len(key) < SHORT:
        return re.sub(rf"(?<![\w-]){re.escape(key)}(?![\w-])", "[key]", text) if key else text
    return text.replace(key, "[key]")
