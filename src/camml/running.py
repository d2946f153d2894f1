"""The running servers of this user, each with a private socket by which other commands of this user ask it.

It is a Unix socket in a folder of the cache that nobody else may open, with a note of what answers there. An address
of this machine would not do: whoever takes it next, another user as well, would be told what people ask.
"""

import http.client
import json
import os
import platform
import secrets
import selectors
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from camml.errors import FetchError
from camml.packages import cache_dir

SECONDS = 600.0
"""The most seconds that an answer may take."""
LIFE_SECONDS = 5.0
"""The most seconds that a sign of life may take, which a server gives at once, however much it has to do."""
WATCH_SECONDS = 10.0
"""Seconds between two signs of life that a server is asked for while its answer is waited for."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs.

    Attributes:
      host: the machine, since a cache may be shared by several.
      pid: its process.
      address: where its page is.
      version: of this package.
      model: what it answers with, as `identity` gives it.
      name: what clients call that.
      stores: the names of its datastores by their folders.
      fallback: what it does where no sample is near enough.
      needs_key: a request needs an API key.
      socket_path: the file of the private socket.
    """

    host: str
    pid: int
    address: str
    version: str
    model: str
    name: str
    stores: Mapping[str, str]
    fallback: str
    needs_key: bool
    socket_path: str = ""


def folder() -> Path:
    """Return the folder of this user's private sockets."""
    return cache_dir() / f"running-{os.geteuid()}"


def identity(model: str) -> str:
    """Return what tells a model from others: its name, or its folder with the time of the last change there."""
    place = Path(model).expanduser()
    if not place.is_dir():
        return model
    changed = max((file.stat().st_mtime_ns for file in place.iterdir()), default=0)
    return f"{os.path.realpath(place)} {changed}"


@contextmanager
def private_socket(server: Running) -> Iterator[socket.socket | None]:
    """Yield the private socket of a server, which listens already, and remove it in the end.

    None where there can be none: another user has the folder, or the disk has no sockets.
    """
    opened, place = None, folder()
    name = place / f"{secrets.token_hex(6)}.sock"
    note = name.with_suffix(".json")
    try:
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            if _is_private(place, stat.S_ISDIR):
                opened = _listening(name)
                _write(note, json.dumps(asdict(replace(server, socket_path=str(name)))))
        yield opened
    finally:
        for path in (note, name):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        if opened is not None:
            opened.close()


def servers() -> Iterator[Running]:
    """Yield the running servers of this user; what others may have put there is passed over."""
    place = folder()
    if not _is_private(place, stat.S_ISDIR):
        return
    for note in sorted(place.glob("*.json")):
        with suppress(OSError, ValueError, TypeError):
            if _is_private(note, stat.S_ISREG):
                server = Running(**json.loads(note.read_bytes()))
                if server.host == platform.node() and Path(server.socket_path) == note.with_suffix(".sock"):
                    yield server


def ask(
    server: Running,
    path: str,
    body: Mapping[str, Any],
    key: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Return what a server answers that is alive; the socket of one that has ended is removed.

    Args:
      say: called once with a text for the user where it gives no sign of life and is waited for all the same.

    Raises:
      FetchError: it gives no sign of life, is suspended, does not answer, or refuses.
    """
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    connection = _Connection(server.socket_path, SECONDS)
    try:
        _check_alive(server)
        connection.request("POST", path, json.dumps(body), headers)
        _wait(connection.sock, server, say)
        answer = connection.getresponse()
        document = json.loads(answer.read())
    except (ConnectionRefusedError, FileNotFoundError):
        forget(server)
        raise FetchError("it has ended") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FetchError(str(error) or type(error).__name__) from None
    finally:
        connection.close()
    if answer.status != 200 or not isinstance(document, dict):
        said = document.get("error") if isinstance(document, dict) else None
        reason = said.get("message") if isinstance(said, dict) else answer.reason
        raise FetchError(f"{reason} (HTTP {answer.status})")
    return document


def _check_alive(server: Running) -> None:
    """Wait for any answer: a suspended process listens, too, and would be waited for as long as an answer may take.

    Raises:
      FetchError: none comes in time.
    """
    if not _lives(server):
        raise FetchError(f"{_silence(server)}; is it suspended?")


def _wait(connection: socket.socket, server: Running, say: Callable[[str], None]) -> None:
    """Wait for the beginning of an answer; a server that is suspended meanwhile is given up, a slow one is not.

    Raises:
      FetchError: it is suspended, or the answer takes too long.
    """
    end, told = time.monotonic() + SECONDS, False
    with selectors.DefaultSelector() as watched:
        watched.register(connection, selectors.EVENT_READ)
        while not watched.select(min(WATCH_SECONDS, max(0.0, end - time.monotonic()))):
            if time.monotonic() >= end:
                raise FetchError(f"no answer in {SECONDS:g} seconds")
            with suppress(ConnectionError, FileNotFoundError, http.client.HTTPException):
                # which a server that ends may say, and still answer
                if _lives(server):
                    continue
                if _suspended(server.pid):
                    raise FetchError(f"process {server.pid} was suspended; `kill -CONT {server.pid}` lets it go on")
                if not told:
                    say(f"{_silence(server)}: it is suspended or has much to do; its answer is waited for")
                    told = True


def _silence(server: Running) -> str:
    return f"no sign of life from process {server.pid} for {LIFE_SECONDS:g} seconds"


def _lives(server: Running) -> bool:
    """Return whether a server gives a sign of life in time.

    Raises:
      OSError, http.client.HTTPException: there is no server at its socket.
    """
    connection = _Connection(server.socket_path, LIFE_SECONDS)
    try:
        connection.request("GET", "/health")
        connection.getresponse()
    except (TimeoutError, BlockingIOError):  # the latter where many others wait to be let in
        return False
    finally:
        connection.close()
    return True


def _suspended(pid: int) -> bool:
    """Return whether a process is known to be suspended; only Linux tells."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False


def forget(server: Running) -> None:
    """Remove the socket of a server that has ended."""
    for path in (Path(server.socket_path), Path(server.socket_path).with_suffix(".json")):
        with suppress(OSError):
            path.unlink()


class _Connection(http.client.HTTPConnection):
    """A connection through a private socket, to a process of this user and no other."""

    def __init__(self, place: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._place = place

    def connect(self) -> None:
        """See `http.client`."""
        if not _is_private(Path(self._place).parent, stat.S_ISDIR) or not _is_private(Path(self._place), stat.S_ISSOCK):
            raise FileNotFoundError(self._place)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._place)
        if hasattr(socket, "SO_PEERCRED"):  # Linux
            credentials = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            if struct.unpack("3i", credentials)[1] != os.geteuid():
                raise OSError("another user listens there")


def _listening(place: Path) -> socket.socket:
    """Return a socket at that place, which only this user can open."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(str(place))
        place.chmod(0o600)
        opened.listen()
    except OSError:
        opened.close()
        raise
    return opened


def _write(path: Path, text: str) -> None:
    """Write a file that only this user can read, and that is there whole or not at all."""
    made = path.with_suffix(".unfinished")
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    made.replace(path)


def _is_private(path: Path, kind: Any) -> bool:
    """Return whether something of that kind, and no link to it, is there, of this user and closed to all others."""
    try:
        about = path.lstat()
    except OSError:
        return False
    return bool(kind(about.st_mode)) and about.st_uid == os.geteuid() and not about.st_mode & 0o077
