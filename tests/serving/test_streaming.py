"""What happens when clients go, come all at once, or the server is told to stop."""

import asyncio
import base64
import io
import json
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIError, OpenAI
from PIL import Image

from camml.serving import engines
from camml.serving.engines import Piece, Prepared, Request
from tests.fork_server import ForkServer, first_line, kill
from tests.serving.conftest import MakeService, Serve, service_of

ASK = {"model": "tiny", "messages": [{"role": "user", "content": "red"}]}


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


class Slow:
    """An engine whose answers wait for `go`, and which notices when nobody wants them any more."""

    slots = 2
    default_shots = 1
    most_pictures: int | None = 1
    calls = None
    most_characters = None

    def budget(self, passages: str) -> None:
        """It reads all of the samples."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = 0
        self.ended = 0
        self.fails = False

    async def prepare(self, request: Request) -> Prepared:
        return Prepared(request, 7, 3)

    async def generate(self, prepared: Prepared) -> AsyncIterator[Piece]:
        self.begun += 1
        try:
            yield Piece("one", new_tokens=1)
            while not self.go.is_set():
                await asyncio.sleep(0.01)
            if self.fails:
                raise RuntimeError("a secret of ours")
            yield Piece(" two", finish_reason="stop", new_tokens=2)
        finally:
            self.ended += 1

    def status(self) -> dict[str, float]:
        return {"running": self.begun - self.ended, "waiting": 0}

    def healthy(self) -> bool:
        return True

    async def close(self) -> None: ...


class TestGone:
    @pytest.mark.parametrize("stream", [True, False])
    def test_an_answer_ends_when_its_client_goes(self, shared_store: Path, serve: Serve, stream: bool) -> None:
        slow = Slow()
        service = service_of(slow, shared_store)
        with serve(service) as address:
            body = json.dumps(ASK | {"stream": stream}).encode()
            with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as connection:
                head = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                wait_for(lambda: slow.begun == 1)
                assert slow.ended == 0
            wait_for(lambda: slow.ended == 1)
            wait_for(lambda: service.answers.inside == 0)

    def test_the_model_stops_too(
        self, engine: Any, make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        step, steps, gone = engine._batch._step, [], threading.Event()

        def held(chunks: Any) -> None:
            step(chunks)
            steps.append(chunks)
            if len(steps) == 20:
                gone.wait(60)

        monkeypatch.setattr(engine._batch, "_step", held)
        before, service = engine.status(), make_service()
        with serve(service) as address:
            client = OpenAI(base_url=f"{address}/v1", api_key="none")
            stream = client.chat.completions.create(**ASK, max_tokens=300, stream=True, temperature=0, n=3)
            for number, _ in enumerate(stream):
                if number == 5:
                    break
            stream.close()
            wait_for(lambda: service.answers.inside == 0)
            gone.set()
            wait_for(lambda: engine.status()["running"] == 0)
        assert engine.status()["cancelled_total"] > before["cancelled_total"]
        assert engine.status()["steps_total"] - before["steps_total"] < 299


def test_the_folder_of_a_request_stays_while_something_writes_to_it(
    make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, written = threading.Event(), threading.Event(), []
    save = Image.Image.save

    def slow(image: Image.Image, file: Path, **options: Any) -> None:
        begun.set()
        assert go.wait(60)
        save(image, file, **options)
        written.append(file)

    service = make_service()
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    url = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    monkeypatch.setattr(Image.Image, "save", slow)
    with serve(service) as address:
        body = json.dumps(ASK | {"samples": [{"image_url": url}], "stream": True}).encode()
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as connection:
            head = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert begun.wait(60)
        httpx.get(f"{address}/health")
        time.sleep(0.2)
        go.set()
        wait_for(lambda: bool(written) and service.answers.inside == 0)
        assert not written[0].parent.exists()


class TestOverload:
    @pytest.mark.long
    def test_no_more_than_fit_are_let_in(self, shared_store: Path, serve: Serve) -> None:
        slow = Slow()
        with serve(service_of(slow, shared_store, max_waiting=1)) as address:
            codes: list[int] = []

            def ask() -> None:
                codes.append(httpx.post(f"{address}/v1/chat/completions", json=ASK, timeout=60).status_code)

            inside = [threading.Thread(target=ask) for _ in range(3)]
            for thread in inside:
                thread.start()
            wait_for(lambda: slow.begun == 3)
            for stream in (False, True):
                refused = httpx.post(f"{address}/v1/chat/completions", json=ASK | {"stream": stream}, timeout=60)
                assert refused.status_code == 503
                assert int(refused.headers["retry-after"]) >= 1
                assert refused.json()["error"]["code"] == "overloaded"
            assert httpx.get(f"{address}/ready").status_code == 503
            assert httpx.get(f"{address}/health").status_code == 200
            slow.go.set()
            for thread in inside:
                thread.join(60)
            assert codes == [200, 200, 200]
            assert httpx.get(f"{address}/ready").status_code == 200
            ask()
            assert codes[-1] == 200

    @pytest.mark.long
    def test_the_official_client_comes_back(self, shared_store: Path, serve: Serve) -> None:
        slow = Slow()
        with serve(service_of(slow, shared_store, max_waiting=0)) as address:
            client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=5)
            streams = [client.chat.completions.create(**ASK, stream=True) for _ in range(2)]
            threading.Timer(1, slow.go.set).start()
            drained = [threading.Thread(target=list, args=(stream,)) for stream in streams]
            for thread in drained:
                thread.start()
            assert client.chat.completions.create(**ASK).choices[0].message.content == "one two"


def test_a_failure_in_the_middle_is_told(shared_store: Path, serve: Serve) -> None:
    slow = Slow()
    slow.fails = True
    slow.go.set()
    with serve(service_of(slow, shared_store)) as address:
        client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        with pytest.raises(APIError) as caught:
            list(client.chat.completions.create(**ASK, stream=True))
        assert "secret" not in str(caught.value)
        with pytest.raises(APIError) as caught:
            client.chat.completions.create(**ASK)
        assert "secret" not in str(caught.value)


class TestProcess:
    """`camml serve` itself."""

    @pytest.mark.long
    def test_sigterm_lets_answers_finish(self, camml_folder: Path, shared_store: Path, programs: ForkServer) -> None:
        process = programs.start("-m", "camml", "serve", "--model", camml_folder, "--store", shared_store, "--port", 0,
                                 "--model-name", "tiny")  # fmt: skip
        out, err = programs.file("out"), programs.file("err")
        try:
            line = first_line(process, out)
            assert line.startswith("http://127.0.0.1:"), err.read_text()
            address = line.split()[0]
            client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=500)
            stream = client.chat.completions.create(**ASK, max_tokens=300, stream=True)
            first = next(stream)
            assert first.context
            os.kill(process.pid, signal.SIGTERM)
            chunks = list(stream)
            assert chunks[-1].choices[0].finish_reason in ("length", "stop")
            assert process.wait(300) == 0
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{address}/health")
        finally:
            kill(process)
            said = err.read_text()
        entries = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        assert any(entry["event"] == "request" and entry.get("new_tokens") for entry in entries)
        assert "Traceback" not in said


def test_mistakes_of_the_command_line(
    camml_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from camml.cli import main

    monkeypatch.delenv("CAMML_API_KEYS", raising=False)
    (tmp_path / "keys").write_text("# none yet\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, word in (
            (["--host", "0.0.0.0"], "--no-keys"),
            (["--api-keys", str(tmp_path / "keys")], "no API keys"),
            (["--port", port], "in use"),
            (["--model", str(camml_folder), "--store", str(tmp_path / "none"), "--port", "0"], "none"),
        ):
            assert main(["serve", *arguments]) == 2
            said = capsys.readouterr()
            assert word in said.err
            assert (said.out, len(said.err.strip().splitlines())) == ("", 1)


def test_engine_options_are_checked(camml_folder: Path) -> None:
    from camml.errors import OptionError, UnknownNameError

    with pytest.raises(OptionError, match="slots"):
        engines.load("transformers", camml_folder, slotz=3)
    with pytest.raises(UnknownNameError, match="transformers"):
        engines.load("telepathy", camml_folder)


def test_settings_are_printed_without_keys() -> None:
    from camml.serving.settings import Settings

    shown: Any = repr(Settings(model="m", api_keys=("very-secret",)))
    assert "very-secret" not in shown
