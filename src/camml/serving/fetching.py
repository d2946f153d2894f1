"""Pictures from the web, without letting a stranger look through the server into the network it stands in."""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from camml.chat_api.endpoint import REDIRECTS, cut_at
from camml.errors import ImageError
from camml.images import ascii_url

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Result = TypeVar("Result")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Return whether a machine on the open internet has the address, also by the IPv4 one that an IPv6 one carries."""
    if isinstance(address, ipaddress.IPv6Address):
        carried = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in NAT64:
            carried = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if carried:
            return is_public(carried)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def resolve(host: str, port: int) -> list[Address]:
    """Return all addresses of a host.

    Raises:
      OSError: it has none.
    """
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in entries]


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Downloads pictures.

    A name is looked up once, every address it has must be allowed, and the connection goes to that very address: what
    the name means a moment later changes nothing. Every redirection goes through the same.

    Attributes:
      max_bytes: of a picture.
      seconds: for all of it, redirections included.
      allowed: which addresses may be talked to.
      lookup: the addresses of a host name.
    """

    max_bytes: int
    seconds: float = 10.0
    redirects: int = 3
    allowed: Callable[[Address], bool] = is_public
    lookup: Callable[[str, int], list[Address]] = resolve

    def fetch(self, url: str) -> bytes:
        """Return what is at an http(s) address.

        Raises:
          ImageError: the address is not allowed, does not answer, or holds too much.
        """
        deadline = time.monotonic() + self.seconds
        for _ in range(self.redirects + 1):
            try:
                reply = self._get(url, deadline)
            except (OSError, http.client.HTTPException, ValueError) as error:
                if isinstance(error, ImageError):
                    raise
                raise ImageError(f"{_short(url)}: cannot be downloaded ({type(error).__name__})") from None
            if isinstance(reply, bytes):
                return reply
            url = urljoin(url, reply)
        raise ImageError(f"{_short(url)}: more than {self.redirects} redirections")

    def _get(self, url: str, deadline: float) -> bytes | str:
        """Return the content, or where it has moved to."""
        parts = urlsplit(ascii_url(url))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ImageError(f"{_short(url)}: not a plain http or https address")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with closing(self._dial(parts.hostname, port, deadline)) as line, cut_at(deadline, line.dup()):
            connection = http.client.HTTPConnection(parts.hostname, port)
            connection.sock = _secured(line, parts.hostname) if parts.scheme == "https" else line
            with closing(connection):
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("GET", path, headers={"User-Agent": "camml", "Accept": "image/*"})
                answer = connection.getresponse()
                if answer.status in REDIRECTS and (place := answer.getheader("Location")):
                    return place
                if answer.status != 200:
                    raise ImageError(f"{_short(url)}: the server there answers {answer.status}")
                body = self._body(answer, url)
            _left(deadline)  # a connection that was cut may look like one that ended
            return body

    def _dial(self, host: str, port: int, deadline: float) -> socket.socket:
        """Return a connection to an address of `host` that was checked."""
        addresses = _within(deadline, lambda: self.lookup(host, port))
        if not addresses or not all(map(self.allowed, addresses)):
            raise ImageError(f"{host}: this address is not on the public internet, so it is not fetched")
        return socket.create_connection((str(addresses[0]), port), timeout=_left(deadline))

    def _body(self, answer: http.client.HTTPResponse, url: str) -> bytes:
        body = bytearray()
        while piece := answer.read1(2**16):
            body += piece
            if len(body) > self.max_bytes:
                raise ImageError(f"{_short(url)}: larger than the limit of {self.max_bytes / 2**20:g} MB")
        return bytes(body)


def _secured(line: socket.socket, host: str) -> socket.socket:
    """Return the line with TLS, under the name of the host."""
    return ssl.create_default_context().wrap_socket(line, server_hostname=host)


def _within(deadline: float, work: Callable[[], Result]) -> Result:
    """Return the result of work that knows no deadline of its own; a TimeoutError where it has not come by then."""
    done: Future[Result] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result(_left(deadline))


def _left(deadline: float) -> float:
    """Return the seconds until `deadline`; raise a TimeoutError after it."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("too slow")
    return left


def _short(url: str) -> str:
    return repr(url if len(url) <= 100 else url[:99] + "…")
