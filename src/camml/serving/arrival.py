"""Bodies of requests on their way in: an end to their size, to the patience with them, and to what all of them hold."""

import asyncio
import time
from collections.abc import Callable

from starlette.types import Message, Receive

from camml.serving.problems import ApiError, overloaded

SILENT_SECONDS = 30.0
"""How long a client may be silent while it sends its request."""
WHOLE_SECONDS = 120.0
"""How long a request may take to arrive, however busily it is sent."""
AT_ONCE = 16
"""Bodies of the largest size that all clients together may have here."""


class Bodies:
    """The bodies that are here or on their way, of all clients.

    Args:
      largest: bytes that one may have.
    """

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.held = 0

    def too_large(self) -> ApiError:
        """Return the refusal of a body."""
        limit = self.largest / 2**20
        return ApiError(413, f"a request may have {limit:g} MB; send a smaller picture", "request_too_large")


class Arrival:
    """One body on its way in; what it holds counts until `forget`.

    Args:
      receive: where it comes from.
      arrived: called when it is whole.
    """

    def __init__(self, bodies: Bodies, receive: Receive, arrived: Callable[[], None]) -> None:
        self._bodies = bodies
        self._receive = receive
        self._arrived = arrived
        self._deadline = time.monotonic() + WHOLE_SECONDS
        self._size = 0
        self._whole = False

    async def receive(self) -> Message:
        """Return the next part, as ASGI has it.

        Raises:
          ApiError: the body is too large, too slow, or there is no room for it.
        """
        if self._whole:
            return await self._receive()
        patience = min(SILENT_SECONDS, self._deadline - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, patience))
        except TimeoutError:
            raise ApiError(408, "the request did not arrive in time", "timeout") from None
        more = len(message.get("body", b""))
        self._size += more
        self._bodies.held += more
        if self._size > self._bodies.largest:
            raise self._bodies.too_large()
        if self._bodies.held > AT_ONCE * self._bodies.largest:
            raise overloaded("the server holds all the pictures and texts it can; try again in a moment")
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._whole = True
            self._arrived()
        return message

    def forget(self) -> None:
        """Forget a body that is done with."""
        self._bodies.held -= self._size
        self._size = 0
