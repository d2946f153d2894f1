"""The HTTP server below the application: uvicorn, and an end to connections on which nothing happens."""

import asyncio
import resource
from collections import OrderedDict

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from camml.serving.arrival import WHOLE_SECONDS
from camml.serving.logs import logger
from camml.serving.streaming import SEND_SECONDS

HEAD_SECONDS = 15.0
"""How long a client may take for the head of a request, also for the first one."""
KEPT_FILES = 256
"""Of the files that the process may have open, those that are not connections: datastores, models, pictures."""
MOST_CONNECTIONS = 8192


def config(app: ASGIApp, *, drain_seconds: int = 30, trust_proxy: str = "", connections: int = 0) -> uvicorn.Config:
    """Return how uvicorn is to serve an application.

    Args:
      drain_seconds: for answers under way when the server is stopped.
      trust_proxy: addresses, separated by commas, whose X-Forwarded-For and -Proto are believed; none where empty.
      connections: at a time; 0 for what the limit of open files allows.
    """
    line = Connections(connections or most_connections())

    class Protocol(PatientProtocol):
        waiting = line

    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trust_proxy),
        forwarded_allow_ips=trust_proxy or [],
        timeout_graceful_shutdown=drain_seconds,
    )


def most_connections() -> int:
    """Return how many connections fit below the limit of open files, which is raised as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + KEPT_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(16, min(MOST_CONNECTIONS, soft - KEPT_FILES))


class Connections:
    """The connections of a server: all of them, and in their order those whose request has not come yet.

    Attributes:
      most: connections at a time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.all: set[PatientProtocol] = set()
        self.silent: OrderedDict[PatientProtocol, None] = OrderedDict()
        self._told = False

    def make_room(self) -> bool:
        """Close who has kept us waiting longest, where there are too many; False where all of them are at work."""
        if len(self.all) < self.most:
            return True
        if not self._told:
            self._told = True
            logger.warning("all %d connections are in use; the longest silent ones are closed", self.most)
        if not self.silent:
            return False
        longest, _ = self.silent.popitem(last=False)
        longest.hang_up()
        return True


class PatientProtocol(H11Protocol):
    """uvicorn's protocol with an end to its patience: with heads and bodies that do not come, and what is not read."""

    waiting: Connections
    _for: object = None
    _alarm: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        accepted = self.waiting.make_room()
        super().connection_made(transport)
        self.waiting.all.add(self)
        if accepted:
            self._wait_for(h11.IDLE, HEAD_SECONDS)
        else:
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        state = self.conn.their_state
        if self.transport.is_closing():
            return
        if state is h11.IDLE:
            self._wait_for(state, HEAD_SECONDS)
        elif state is h11.SEND_BODY:  # before this the application loses its patience, and says so
            self._wait_for(state, WHOLE_SECONDS + HEAD_SECONDS)
        else:
            self._wait_no_more()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`: the client reads too slowly, or not at all."""
        super().pause_writing()
        self._unread = self.loop.call_later(SEND_SECONDS, self.hang_up)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def hang_up(self) -> None:
        """End the connection at once."""
        self._leave()
        self.transport.abort()

    def _leave(self) -> None:
        self.waiting.all.discard(self)
        self._wait_no_more()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _wait_for(self, state: object, seconds: float) -> None:
        """Hang up in some time, which runs from when this state began."""
        if state is not self._for:
            self._wait_no_more()
            self._for = state
            self._alarm = self.loop.call_later(seconds, self.hang_up)
            self.waiting.silent[self] = None

    def _wait_no_more(self) -> None:
        self._for = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self.waiting.silent.pop(self, None)
