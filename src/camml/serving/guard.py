"""What every request passes before the application sees it: limits, keys; and what is noted about it."""

import asyncio
import re
import time
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from camml.serving.access import Access
from camml.serving.gate import Gate, RateLimit
from camml.serving.logs import event, logger
from camml.serving.metrics import Metrics
from camml.serving.problems import ApiError, of_exception
from camml.serving.settings import Settings

BODY_SECONDS = 30.0
"""How long a client may be silent while it sends its request."""
MOST_REQUESTS = 1024
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HOST = re.compile(r"([\w.-]*|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", re.ASCII)
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
        self._requests = Gate(MOST_REQUESTS, "connections")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        note: dict[str, Any] = {"id": uuid4().hex[:16]}
        scope["camml"] = note
        started = time.perf_counter()

        async def noted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                note["status"] = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = note["id"]
                headers.setdefault("x-content-type-options", "nosniff")
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            with self._requests.enter() if scope["path"] not in QUIET else Gate(1, "").enter():
                self._check(scope)
                await self._app(scope, self._limited(scope, receive), noted_send)
        except Exception as error:
            if not isinstance(error, ApiError):
                logger.exception("a request failed", extra={"fields": {"id": note["id"]}})
            if "status" in note:  # too late for another answer: uvicorn cuts the connection, which the client sees
                raise
            await of_exception(error).response()(scope, receive, noted_send)
        finally:
            self._note(scope, note, time.perf_counter() - started)

    def _check(self, scope: Scope) -> None:
        """Raise an ApiError for a request that is not to be looked at."""
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        host = headers.get("host", "")
        match = HOST.fullmatch(host)
        if match is None:
            raise ApiError(400, "the header Host is not the name of a host", "wrong_host")
        name = match[1]
        if self._settings.allowed_hosts and name.lower() not in self._settings.allowed_hosts:
            raise ApiError(421, f"this server is not called {name[:80]!r}", "wrong_host")
        # a page of another origin can send some requests without asking; reading the answer is what CORS guards
        origin = headers.get("origin")
        if method not in SAFE and origin is not None and not self._own(origin, host):
            raise ApiError(403, "requests from web pages of this origin are not allowed", "wrong_origin")
        if method == "OPTIONS":
            return
        if self._access.needs_key(method, path) and not self._access.knows(headers.get("authorization", "")):
            said = "the API key is wrong" if "authorization" in headers else "this server needs an API key"
            raise ApiError(
                401, f"{said}; send the header 'Authorization: Bearer KEY'", "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        if method not in SAFE:
            client = scope["client"][0] if scope.get("client") else ""
            self._rate.take(headers.get("authorization") or client if not self._access.is_open else client)
        if (length := headers.get("content-length", "0")).isdecimal() and int(length[:20]) > self._settings.max_body:
            raise self._too_large()

    def _own(self, origin: str, host: str) -> bool:
        allowed, public = self._settings.cors_origins, urlsplit(self._settings.public_url)
        ours = {host, public.netloc} - {""}
        origin = origin.lower()
        return "*" in allowed or origin in allowed or origin.partition("://")[2] in ours

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` with an end to the size of a body and to the patience with it."""
        size, whole = 0, False

        async def limited() -> Message:
            nonlocal size, whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), BODY_SECONDS)
            except TimeoutError:
                raise ApiError(408, "the request did not arrive in time", "timeout") from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > self._settings.max_body:
                raise self._too_large()
            return message

        return limited

    def _too_large(self) -> ApiError:
        limit = self._settings.max_body / 2**20
        return ApiError(413, f"a request may have {limit:g} MB; send a smaller picture", "request_too_large")

    def _note(self, scope: Scope, note: dict[str, Any], seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        status = str(note.get("status", 499))  # no answer was sent: the client had gone
        self._metrics.requests.labels(route, scope["method"] if scope["method"] in METHODS else "other", status).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if status in ("429", "503"):
            self._metrics.refused.labels({"429": "rate", "503": "load"}[status]).inc()
        if route not in QUIET:
            event("request", method=scope["method"], route=route, ms=round(1000 * seconds, 1), **{"status": 499} | note)
