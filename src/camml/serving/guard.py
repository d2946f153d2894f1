"""The guard that every request passes before the application: limits, keys; and what is noted about it."""

import ipaddress
import re
import time
from contextlib import ExitStack
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from camml.serving.access import OPEN, Access, place_of
from camml.serving.arrival import Arrival, Bodies
from camml.serving.gate import Gate, RateLimit
from camml.serving.logs import event, logger
from camml.serving.metrics import Metrics
from camml.serving.problems import ApiError, of_exception
from camml.serving.settings import USUAL_PORTS, Settings, place_of_pages

MOST_REQUESTS = 1024
"""Requests that are answered or wait for something; those that are still arriving do not count."""
LOOKS = 10
"""Requests that only read for each one that changes or asks something, where there is a limit a minute."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HOST = re.compile(r"([\w.-]*|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", re.ASCII)
WHOLE = re.compile(rb"https?://([^/?#]*)(/.*)?", re.IGNORECASE | re.DOTALL)
"""A whole http(s) address, its host and its path."""
SAFE = ("GET", "HEAD", "OPTIONS")
QUIET = frozenset({"/health", "/ready", "/metrics"})
"""Routes that are asked every few seconds, and not worth a line in the log."""


class Guard:
    """The outermost layer of the server. It does not hold back what is streamed.

    Errors of the application that nobody turned into an answer become one here.
    """

    def __init__(self, app: ASGIApp, settings: Settings, access: Access, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._access = access
        self._metrics = metrics
        self._rate = RateLimit(settings.rate_limit)
        self._looking = RateLimit(LOOKS * settings.rate_limit, "requests that only read")
        self._requests = Gate(MOST_REQUESTS, "requests")
        self._bodies = Bodies(settings.max_body)
        self._public = place_of_pages(settings.public_url)
        self._shared = "cross-origin" if settings.cors_origins else "same-origin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        note: dict[str, Any] = {"id": uuid4().hex[:16], "client": _address(scope)}
        # what would be answered to GET, less the body, which the server below leaves out
        scope = {**scope, "camml": note, "method": "GET" if scope["method"] == "HEAD" else scope["method"]}
        scope = _of_path(scope)
        started = time.perf_counter()
        with ExitStack() as inside:
            arrival = Arrival(self._bodies, receive, lambda: inside.enter_context(self._requests.enter()))
            inside.callback(arrival.forget)
            try:
                self._check(scope, note)
                if not _has_body(scope) and scope["path"] not in QUIET:
                    inside.enter_context(self._requests.enter())
                came = arrival.receive if _has_body(scope) else receive
                await self._app(scope, came, self._noted(send, note))
            except Exception as error:
                await self._fail(error, note, scope, receive, send)
            finally:
                self._note(scope, note, time.perf_counter() - started)

    def _noted(self, send: Send, note: dict[str, Any]) -> Send:
        """Return a `send` that notes the status and adds the headers that every answer has."""

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                note["status"] = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = note["id"]
                headers.setdefault("x-content-type-options", "nosniff")
                headers.setdefault("cache-control", "no-store")
                headers.setdefault("cross-origin-resource-policy", self._shared)
            await send(message)

        return noted

    async def _fail(self, error: Exception, note: dict[str, Any], scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what nobody turned into an answer."""
        problem = of_exception(error)
        note["reason"] = problem.code
        if problem.status_code >= 500 and not isinstance(error, ApiError):
            logger.error("a request failed", exc_info=error, extra={"fields": {"id": note["id"]}})
        if "status" in note:  # too late for another answer: uvicorn cuts the connection, which the client sees
            raise error
        await problem.response()(scope, receive, self._noted(send, note))

    def _check(self, scope: Scope, note: dict[str, Any]) -> None:
        """Raise an ApiError for a request that is not to be looked at."""
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        host = headers.get("host", "")
        if "host" in headers:  # only old programs leave it out, and no web page can
            self._check_host(host)
        # a page of another origin can send some requests without asking; reading the answer is what CORS guards
        origin = headers.get("origin")
        if method not in SAFE and origin is not None and not self._own(origin, host):
            raise ApiError(403, "requests from web pages of this origin are not allowed", "wrong_origin")
        if method == "OPTIONS":
            return
        who = place_of(note["client"])
        authorization = headers.get("authorization", "")
        if self._access.needs_key(method, path) or (authorization and self._access.signs(path)):
            who, note["key"] = self._access.enter(authorization, who)
        if method not in SAFE:
            self._rate.take(who)
        elif path not in OPEN and not path.startswith("/page/"):
            self._looking.take(who)
        if (length := headers.get("content-length", "0")).isdecimal() and int(length[:20]) > self._settings.max_body:
            raise self._bodies.too_large()

    def _check_host(self, host: str) -> None:
        """Raise an ApiError where a web page gave its own name this machine's address."""
        match = HOST.fullmatch(host)
        if match is None:
            raise ApiError(400, "the header Host is not the name of a host", "wrong_host")
        name, allowed = match[1].lower().removesuffix("."), self._settings.allowed_hosts
        if allowed and name not in allowed and not _is_address(name):
            raise ApiError(
                421, f"this server is not called {name[:80]!r}; give it that name with --allowed-host", "wrong_host"
            )

    def _own(self, origin: str, host: str) -> bool:
        allowed, origin, host = self._settings.cors_origins, origin.lower(), host.lower()
        scheme, _, place = origin.partition("://")
        asked = host.removesuffix(f":{dict(USUAL_PORTS).get(scheme)}")  # which an origin leaves out
        return "*" in allowed or origin in allowed or place in {host, asked, self._public} - {""}

    def _note(self, scope: Scope, note: dict[str, Any], seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        status = str(note.get("status", 499))  # no answer was sent: the client had gone
        self._metrics.requests.labels(route, scope["method"] if scope["method"] in METHODS else "other", status).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if note.get("gone") or status == "499":
            self._metrics.gone.inc()
        if status in ("429", "503"):
            self._metrics.refused.labels({"429": "rate", "503": "load"}[status]).inc()
        if route not in QUIET:
            event("request", method=scope["method"], route=route, ms=round(1000 * seconds, 1), **{"status": 499} | note)


def _of_path(scope: Scope) -> Scope:
    """Return a request whose target is a whole address as one of its path and host, which go before the header's.

    Source: RFC 9112, section 3.2.2.
    """
    match = WHOLE.fullmatch(scope.get("raw_path") or scope["path"].encode())
    if match is None:
        return scope
    path = match[2] or b"/"
    headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {
        **scope,
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "headers": [*headers, (b"host", match[1])],
    }


def _address(scope: Scope) -> str:
    """Return the address of a client; proxies are believed only where uvicorn was told to."""
    return str(scope["client"][0]) if scope.get("client") else ""


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


def _is_address(name: str) -> bool:
    """Return whether a host is an address in figures, which no web page can have for a name."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
