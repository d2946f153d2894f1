"""The private socket of a server, by which commands of the same user ask it."""

import asyncio
import platform
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from camml import running
from camml.cli.serve import listen
from camml.errors import FetchError
from camml.serving import application
from camml.serving.engines import Engine, Piece, Prepared
from camml.serving.server import config
from camml.serving.service import Service
from tests.serving.conftest import MakeService, Scripted

ABOUT = running.Running(platform.node(), 1, "http://127.0.0.1:8000", "1", "m", "tiny", {}, "refuse", True)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(running, "LIFE_SECONDS", 60.0)  # a machine that runs tests may be slow


@contextmanager
def serving(service: Service) -> Iterator[running.Running]:
    """Run a service behind a private socket, too; give what is noted of it."""
    server = uvicorn.Server(config(application.create(service)))
    with running.private_socket(ABOUT) as private:
        assert private is not None
        thread = threading.Thread(target=server.run, args=([listen("127.0.0.1", 0), private],), daemon=True)
        thread.start()
        [result] = running.servers()
        try:
            yield result
        finally:
            server.should_exit = True
            thread.join(60)


def test_it_leads_to_the_same_server_and_asks_for_the_same_key(make_service: MakeService) -> None:
    body: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "red"}], "max_tokens": 3}
    with serving(make_service(api_keys=("first-secret",))) as server:
        answer = running.ask(server, "/v1/chat/completions", body, "first-secret")
        for key in (None, "another-secret"):
            with pytest.raises(FetchError, match="HTTP 401"):
                running.ask(server, "/v1/chat/completions", body, key)
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["context"][0]["found_by"]


class Busy(Scripted):
    """An engine that is at work until it may end."""

    says = "red"

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.began, self.may_end = threading.Event(), threading.Event()

    async def generate(self, prepared: Prepared) -> AsyncIterator[Piece]:
        self.began.set()
        assert await asyncio.to_thread(self.may_end.wait, 60)
        async for piece in super().generate(prepared):
            yield piece


def test_a_server_that_is_at_work_gives_a_sign_of_life(make_service: MakeService, engine: Engine) -> None:
    service, busy = make_service(), Busy(engine)
    service.engine = busy
    body: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "red"}]}
    with serving(service) as server, ThreadPoolExecutor(1) as thread:
        answer = thread.submit(running.ask, server, "/v1/chat/completions", body)
        try:
            assert busy.began.wait(60)
            assert running.ask(server, "/v1/stores/colours/search", {"query": "red", "k": 1})["data"]
            assert not answer.done()
        finally:
            busy.may_end.set()
        assert answer.result(60)["choices"][0]["message"]["content"] == "red"
