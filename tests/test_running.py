"""Servers that this user runs: their private sockets, and who may not listen there."""

import json
import os
import platform
import signal
import socket
import socketserver
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from camml import running
from camml.errors import FetchError
from camml.running import Running

SERVER = Running(platform.node(), os.getpid(), "http://127.0.0.1:8000", "1", "m", "m", {"/a": "a"}, "refuse", False)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAMML_HOME", str(tmp_path))
    monkeypatch.setattr(running, "LIFE_SECONDS", 60.0)  # a machine that runs tests may be slow
    return tmp_path


@contextmanager
def answering(
    server: Running, status: int = 200, reply: object = None, think: Callable[[], object] = lambda: None
) -> Iterator[list[dict[str, Any]]]:
    """Open a private socket, behind which every request is noted and answered, one after another, after `think`."""
    document = reply or {"said": "yes"} if status == 200 else {"error": {"message": "no"}}
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append({"path": self.path, "key": self.headers["Authorization"], **body})
            think()
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def address_string(self) -> str:
            return "socket"

        def log_message(self, *_: object) -> None:
            pass

    with running.private_socket(server) as opened:
        assert opened is not None
        listener = socketserver.UnixStreamServer(opened.getsockname(), Handler, bind_and_activate=False)
        listener.socket.close()
        listener.socket = opened
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield seen
        listener.shutdown()


def test_a_server_is_there_for_as_long_as_its_socket_is_open() -> None:
    assert list(running.servers()) == []
    with answering(SERVER) as seen:
        [server] = running.servers()
        assert replace(server, socket_path="") == SERVER
        assert running.ask(server, "/v1", {"a": 1}, "key") == {"said": "yes"}
        assert seen == [{"path": "/v1", "key": "Bearer key", "a": 1}]
    assert list(running.servers()) == []
    assert list(running.folder().iterdir()) == []


def test_nobody_else_can_open_socket_or_note() -> None:
    with running.private_socket(SERVER):
        assert stat.S_IMODE(running.folder().stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in running.folder().iterdir()} == {0o600}
        assert len(list(running.folder().iterdir())) == 2


def test_a_refusal_is_told() -> None:
    with answering(SERVER, 401):
        [server] = running.servers()
        with pytest.raises(FetchError, match=r"no \(HTTP 401\)"):
            running.ask(server, "/v1", {})


def test_the_socket_of_a_server_that_was_killed_is_taken_away() -> None:
    with running.private_socket(SERVER) as opened:
        assert opened is not None
        opened.close()
        [server] = running.servers()
        with pytest.raises(FetchError, match="it has ended"):
            running.ask(server, "/v1", {})
        assert list(running.folder().iterdir()) == []


@pytest.mark.parametrize("accepts", [False, True])
def test_a_server_that_gives_no_sign_of_life_is_not_waited_for(accepts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspended process still listens: who connects is queued, and hears nothing."""
    monkeypatch.setattr(running, "SECONDS", 5.0)
    monkeypatch.setattr(running, "LIFE_SECONDS", 0.1)
    received: list[bytes] = []

    def accept(opened: socket.socket) -> None:
        connection, _ = opened.accept()
        connection.settimeout(10)
        while data := connection.recv(65536):  # until who asked has left
            received.append(data)

    with running.private_socket(SERVER) as opened:
        assert opened is not None
        opened.settimeout(10)
        thread = threading.Thread(target=accept, args=(opened,), daemon=True)
        if accepts:
            thread.start()
        [server] = running.servers()
        with pytest.raises(FetchError, match=f"no sign of life from process {os.getpid()}"):
            running.ask(server, "/v1", {"secret": True})
        if accepts:
            thread.join(30)
            assert not thread.is_alive()
        assert list(running.servers()) == [server], "it may go on"
    assert b"secret" not in b"".join(received)


class TestWhileAnAnswerIsMade:
    """The server of these tests gives no sign of life while it answers."""

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(running, "WATCH_SECONDS", 0.05)
        monkeypatch.setattr(running, "SECONDS", 60.0)

    def test_a_slow_server_is_waited_for_and_the_user_told_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        looks, told = list[int](), list[str]()

        def think() -> None:
            monkeypatch.setattr(running, "LIFE_SECONDS", 0.05)
            until = time.monotonic() + 50
            while len(looks) < 3 and time.monotonic() < until:
                time.sleep(0.01)

        monkeypatch.setattr(running, "_suspended", lambda pid: bool(looks.append(pid)))
        with answering(SERVER, think=think):
            [server] = running.servers()
            assert running.ask(server, "/v1", {}, say=told.append) == {"said": "yes"}
        [text] = told
        assert text.startswith(f"no sign of life from process {os.getpid()} for 0.05 seconds: it is suspended or has")

    def test_a_suspended_one_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given_up = threading.Event()

        def think() -> None:
            monkeypatch.setattr(running, "LIFE_SECONDS", 0.05)
            given_up.wait(50)

        monkeypatch.setattr(running, "_suspended", lambda pid: pid == os.getpid())
        with answering(SERVER, think=think):
            [server] = running.servers()
            with pytest.raises(FetchError, match=rf"process {os.getpid()} was suspended; `kill -CONT {os.getpid()}`"):
                running.ask(server, "/v1", {})
            given_up.set()
            assert list(running.servers()) == [server], "it may go on"

    @pytest.mark.skipif(sys.platform != "linux", reason="a system that does not tell")
    def test_it_is_known_who_is_suspended(self) -> None:
        with subprocess.Popen(["sleep", "60"]) as process:
            try:
                assert not running._suspended(process.pid)
                process.send_signal(signal.SIGSTOP)
                until = time.monotonic() + 30
                while not running._suspended(process.pid) and time.monotonic() < until:
                    time.sleep(0.01)
                assert running._suspended(process.pid)
            finally:
                process.kill()
        assert not running._suspended(process.pid)


def _another_user(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    me = os.geteuid()
    real = Path.lstat

    def lstat(self: Path) -> os.stat_result:
        about = list(real(self))
        about[stat.ST_UID] = me + 1 if self == place else about[stat.ST_UID]
        return os.stat_result(about)

    monkeypatch.setattr(Path, "lstat", lstat)


class TestOthers:
    """What another user may have put there is neither read nor asked."""

    @pytest.mark.parametrize("what", ["folder", "note"])
    def test_theirs_is_passed_over(self, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with answering(SERVER) as seen:
            [server] = running.servers()
            place = {"folder": running.folder(), "note": Path(server.socket_path).with_suffix(".json")}[what]
            _another_user(monkeypatch, place)
            assert list(running.servers()) == []
            assert seen == []

    @pytest.mark.parametrize("what", ["folder", "note"])
    def test_what_others_could_write_is_passed_over(self, what: str) -> None:
        with running.private_socket(SERVER):
            [server] = running.servers()
            {"folder": running.folder(), "note": Path(server.socket_path).with_suffix(".json")}[what].chmod(0o722)
            assert list(running.servers()) == []

    @pytest.mark.parametrize("what", ["folder", "socket"])
    def test_a_socket_that_is_theirs_by_now_is_not_asked(self, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with answering(SERVER) as seen:
            [server] = running.servers()
            _another_user(monkeypatch, {"folder": running.folder(), "socket": Path(server.socket_path)}[what])
            with pytest.raises(FetchError):
                running.ask(server, "/v1", {"secret": True})
        assert seen == []

    @pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="a system that does not tell who listens")
    def test_a_process_of_theirs_is_told_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with answering(SERVER) as seen:
            [server] = running.servers()
            monkeypatch.setattr(running, "_is_private", lambda *_: True)
            monkeypatch.setattr(os, "geteuid", lambda: 12345678)
            with pytest.raises(FetchError, match="another user"):
                running.ask(server, "/v1", {"secret": True})
        assert seen == []

    def test_a_link_is_passed_over(self, tmp_path: Path) -> None:
        with running.private_socket(SERVER):
            [server] = running.servers()
            note = Path(server.socket_path).with_suffix(".json")
            note.rename(tmp_path / "elsewhere")
            note.symlink_to(tmp_path / "elsewhere")
            assert list(running.servers()) == []

    def test_a_socket_elsewhere_is_passed_over(self) -> None:
        with running.private_socket(SERVER):
            [note] = running.folder().glob("*.json")
            for change in ({"socket_path": "/tmp/other.sock"}, {"host": "another"}, {"socket_path": 3}, {"more": 1}):
                note.write_text(json.dumps(json.loads(note.read_text()) | change))
                assert list(running.servers()) == []
            note.write_text("{")
            assert list(running.servers()) == []


def test_where_there_can_be_no_socket_there_is_none(home: Path) -> None:
    running.folder().write_text("a file is in the way")
    with running.private_socket(SERVER) as opened:
        assert opened is None
    assert list(running.servers()) == []


def test_a_folder_that_changes_is_another_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert running.identity("camml-mini") == "camml-mini"
    before = running.identity(str(tmp_path / "model"))
    (tmp_path / "link").symlink_to("model")
    assert running.identity(str(tmp_path / "link")) == before
    (tmp_path / "model" / "config.json").write_text("{}")
    assert running.identity(str(tmp_path / "model")) != before
