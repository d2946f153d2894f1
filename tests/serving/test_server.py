"""Connections on which nothing happens."""

import resource
import socket
import time
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest

from camml.serving import server
from tests.serving.conftest import MakeService, Serve


def dial(address: str, receive_buffer: int = 0) -> socket.socket:
    s = socket.socket()
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.connect(("127.0.0.1", int(address.rpartition(":")[2])))
    s.settimeout(20)
    return s


def is_closed(s: socket.socket) -> bool:
    try:
        return s.recv(1000) == b""
    except ConnectionResetError:
        return True


def is_dropped(s: socket.socket, data: bytes, seconds: float) -> bool:
    """Send again and again until the other side has hung up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            s.sendall(data)
            time.sleep(0.05)
        except TimeoutError:
            time.sleep(0.1)
        except OSError:
            return True
    return False


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_a_head_that_does_not_come_ends_the_connection(
    sent: bytes, make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    with serve(make_service()) as address:
        begun = time.monotonic()
        with dial(address) as s:
            with suppress(OSError):  # on a busy machine the connection may have ended by now
                s.sendall(sent)
            assert is_closed(s)
        assert 0.2 < time.monotonic() - begun < 20


def test_a_head_that_drips_ends_the_connection(
    make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 2)
    with serve(make_service()) as address, dial(address) as s:
        begun = time.monotonic()
        s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")  # the first request is fine, the second never ends
        assert b"200 OK" in s.recv(1000)
        assert is_dropped(s, b"x", 30)
        assert time.monotonic() - begun < 30


@pytest.mark.long
def test_an_answer_that_takes_long_is_waited_for(
    make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 1)
    service = make_service()
    page = service.shelves["colours"].page

    def slow(*arguments: Any) -> Any:
        time.sleep(2.5)
        return page(*arguments)

    monkeypatch.setattr(service.shelves["colours"], "page", slow)
    with serve(service) as address:
        assert httpx.get(f"{address}/v1/stores/colours/samples").status_code == 200


@pytest.mark.long
def test_the_longest_silent_make_room_for_others(
    make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "most_connections", lambda: 8)
    with serve(make_service()) as address, ExitStack() as open_:
        silent = [open_.enter_context(dial(address)) for _ in range(30)]
        body = open_.enter_context(dial(address))
        body.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{")
        for _ in range(20):
            assert httpx.get(f"{address}/v1/models").status_code == 200
        assert is_closed(silent[0])
    assert "all 8 connections are in use" in caplog.text


@pytest.mark.long
def test_who_does_not_read_is_dropped(make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SEND_SECONDS", 0.5)
    with serve(make_service()) as address, dial(address, receive_buffer=4096) as s:
        head = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
        begun = time.monotonic()
        s.settimeout(0.2)
        assert is_dropped(s, head * 50, 20)
        assert time.monotonic() - begun < 15


def test_connections_stay_below_the_limit_of_files() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        most = server.most_connections()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == resource.RLIM_INFINITY or most <= soft - server.KEPT_FILES or most == 16
        assert most <= server.MOST_CONNECTIONS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
