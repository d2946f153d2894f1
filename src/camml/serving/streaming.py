"""Answers that can be abandoned: work for a client ends when the client goes."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SEND_SECONDS = 60.0
"""How long a client may take to accept a piece."""

Result = TypeVar("Result")


ENDS_OF_LINES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"}
"""What JSON may hold as it is, and clients that read events line by line take for the end of one."""


def sse(document: Mapping[str, Any], name: str = "") -> bytes:
    """Return a document as a server-sent event; `name` is of its kind, where a protocol has such."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False).translate(ENDS_OF_LINES)
    begin = f"event: {name}\ndata: ".encode() if name else b"data: "
    return begin + text.encode("utf-8", "replace") + b"\n\n"


class ClientGone(Exception):
    """The client has closed the connection; nobody is there to read an answer."""


async def until_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of `work`, which is cancelled if the client goes before.

    Raises:
      ClientGone: it went.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_leaving(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _leaving(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Server-sent events from a generator, which is closed at the end, however it comes."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__()
        self._events = events
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-store"
        self.headers["x-accel-buffering"] = "no"  # or nginx would keep the pieces together

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        try:
            await until_gone(receive, self._stream(send))
        except (ClientGone, TimeoutError, OSError):
            scope.get("camml", {})["gone"] = True
        finally:
            await self._events.aclose()

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for event in self._events:
            async with asyncio.timeout(SEND_SECONDS):
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def first_then_rest(request: Request, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Return the same events, of which the first is there already, so that what fails before it can still be an error.

    Raises:
      ClientGone: the client went while the first was made.
    """
    try:
        first = await until_gone(request.receive, anext(events))
    except BaseException:
        await events.aclose()
        raise

    async def all_of_them() -> AsyncGenerator[bytes, None]:
        try:
            yield first
            async for event in events:
                yield event
        finally:
            await events.aclose()

    return all_of_them()
