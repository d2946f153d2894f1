"""Attacks on a server, while somebody else asks: small ones every day, larger ones with `make test-attack`.

All of it is bounded, and stays on this machine.
"""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from camml.serving import access, engines, server
from camml.serving.server import config as configure
from tests import tiny
from tests.images.test_jpeg import bomb
from tests.serving import leaving
from tests.serving.conftest import MakeService, Serve, run_apart, service_of
from tests.serving.test_bodies import BOMBS
from tests.serving.test_guard import CLOSED, KEYS, bearer

SCALES = [pytest.param(1, id="small"), pytest.param(8, id="large", marks=pytest.mark.attack)]
"""How large an attack is."""


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "max_tokens": 8, "messages": [{"role": "user", "content": text}], **more}


@contextmanager
def bystander(address: str, headers: dict[str, str] | None = None) -> Iterator[list[int]]:
    """Somebody who asks one question after the other; the statuses of the answers."""
    statuses: list[int] = []
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=address, timeout=60, headers=headers) as http:
            while not ended.is_set():
                answer = http.post("/v1/chat/completions", json=chat("which colour"))
                statuses.append(answer.status_code)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield statuses
    finally:
        had = len(statuses)
        for _ in range(3000):
            if len(statuses) > had:  # one that was asked and answered since
                break
            ended.wait(0.02)
        ended.set()
        thread.join(60)
    assert set(statuses) == {200}, "whoever asks as usual is answered as usual"
    assert len(statuses) > had, "also at the end"


@pytest.mark.long
@pytest.mark.parametrize("scale", SCALES)
def test_long_questions(scale: int, camml_folder: Path, shared_store: Path, serve: Serve) -> None:
    engine: Any = engines.load("transformers", camml_folder, slots=8, memory="2MB")
    with serve(service_of(engine, shared_store)) as address, bystander(address):
        long = chat("word " * 90, max_tokens=2)
        huge = chat("word " * 190_000)
        endless = chat("a", max_tokens=100_000)

        def attack(body: dict[str, Any]) -> tuple[int, float]:
            status = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=120).status_code
            return status, engine.status()["memory_bytes"]

        with ThreadPoolExecutor(4 * scale) as threads:
            told = list(threads.map(attack, [long, huge, endless] * 4 * scale))
        assert {status for status, _ in told[1::3]} == {413}, "huge ones are not even counted"
        assert {status for status, _ in told[2::3]} == {400}
        assert {status for status, _ in told[::3]} <= {200, 429}
        assert max(held for _, held in told) <= engine.status()["memory_limit_bytes"]
    run_apart(engine.close())
    assert engine.status()["memory_bytes"] == 0


@pytest.mark.long
@pytest.mark.parametrize("scale", SCALES)
def test_silent_and_dripping_connections(
    scale: int, make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "most_connections", lambda: 40)
    assert configure(lambda: None)  # type: ignore[arg-type]
    with serve(make_service()) as address, bystander(address):
        dialled = []
        for number in range(50 * scale):
            with suppress(OSError):  # the server may hang up while it is called
                dialled.append(socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 10))
                if number % 2:
                    dialled[-1].sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX: ")
        assert httpx.get(f"{address}/health", timeout=60).status_code == 200
        for connection in dialled:
            connection.close()


@pytest.mark.long
@pytest.mark.parametrize("scale", SCALES)
def test_pictures_that_take_long(scale: int, address: str) -> None:
    data = bomb(500, True, (1200, 900))
    url = "data:image/jpeg;base64," + base64.b64encode(data).decode()
    content = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": url}}]
    body = {**chat(""), "messages": [{"role": "user", "content": content}]}
    with bystander(address), ThreadPoolExecutor(4 * scale) as threads:
        asked = [
            threads.submit(httpx.post, f"{address}/v1/chat/completions", json=body, timeout=60)
            for _ in range(4 * scale)
        ]
        assert httpx.get(f"{address}/v1/stores/colours/samples", timeout=10).status_code == 200
        assert {question.result().json()["error"]["code"] for question in asked} == {"invalid_image"}


@pytest.mark.long
@pytest.mark.parametrize("scale", SCALES)
def test_bodies_of_mistakes(scale: int, address: str) -> None:
    bodies = [(path, json.dumps(body).encode()) for path, body in BOMBS.values()] * scale
    kind = {"Content-Type": "application/json"}
    with bystander(address), ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(httpx.post, address + p, content=b, headers=kind, timeout=120) for p, b in bodies]
        assert {question.result().status_code for question in asked} == {400}


SCHEMAS: dict[str, Any] = {
    "deep": None,
    "wide": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(1500)}},
    "a pattern that explodes": {"type": "string", "pattern": "^(([a-z]{1,1000}){1,1000}){1,1000}$"},
    "counts": {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
    "counts in counts": {"type": "array", "minItems": 999, "items": {"type": "array", "minItems": 999, "items": {
        "type": "array", "minItems": 999, "items": {"type": "string", "minLength": 999}}}},
    "alternatives of counts": {"anyOf": [{"type": "string", "minLength": n} for n in range(500, 999)]},
    "recursive": {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}},
    "elsewhere": {"$ref": "http://169.254.169.254/latest"},
    "a file": {"$ref": "file:///etc/passwd"},
}  # fmt: skip
inner: Any = {"type": "null"}
for _ in range(400):
    inner = {"anyOf": [inner, {"type": "array", "items": {"type": "string"}}]}
SCHEMAS["deep"] = inner


@pytest.mark.long
@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_that_cost_much(name: str, address: str) -> None:
    pytest.importorskip("llguidance")
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMAS[name]}}
    with bystander(address):
        answer = httpx.post(f"{address}/v1/chat/completions", json=chat("a", response_format=form), timeout=60)
    assert answer.status_code in (200, 400)
    assert "root:" not in answer.text


@pytest.mark.long
@pytest.mark.parametrize("scale", SCALES)
def test_doors_and_guessed_keys(
    scale: int, make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "WRONG_KEYS", 1000)
    with serve(make_service(api_keys=KEYS)) as address, httpx.Client(base_url=address, timeout=60) as http:
        with bystander(address, bearer(KEYS[0])):
            for method, path in CLOSED:
                assert http.request(method, path).status_code == 401, path
            guesses = [http.get("/v1/models", headers=bearer(f"guess-{n:06}")).status_code for n in range(60 * scale)]
        assert set(guesses) <= {401, 429}
        assert http.get("/v1/models", headers=bearer(KEYS[0])).status_code == 200


@pytest.mark.parametrize("scale", SCALES)
def test_who_asks_and_goes(scale: int, address: str) -> None:
    with bystander(address):
        for _ in range(10 * scale):
            with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 10) as connection:
                body = json.dumps(chat("a", max_tokens=400, stream=True)).encode()
                connection.sendall(
                    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
                )
    waiting = "camml_engine_waiting"
    for _ in range(500):
        figures = httpx.get(f"{address}/metrics").text
        if "camml_engine_running 0.0" in figures and f"{waiting} 0.0" in figures:
            break
        threading.Event().wait(0.02)
    assert "camml_engine_running 0.0" in figures


@pytest.mark.long
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", ["pictures", "tools"])
def test_streams_that_are_left_at_any_moment(
    scale: int, kind: str, engine: Any, calling: Any, shared_store: Path, tmp_path: Path, serve: Serve
) -> None:
    pytest.importorskip("llguidance")
    picture = tiny.samples(tmp_path)[0].image
    assert picture is not None
    url = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    model = engine if kind == "pictures" else calling
    asked = leaving.questions(url, None if kind == "pictures" else {"name": "look", "parameters": {"type": "object"}})
    service = service_of(model, shared_store, max_waiting=1000)
    with serve(service) as address:
        alone = [run_apart(leaving.stay(address, question)) for question in asked]
        run_apart(leaving.mixed(address, asked, 6, seed=1))
        assert leaving.wait_for(lambda: service.answers.inside == 0)
        before = leaving.held()
        for turn in range(min(scale, 2)):
            together = run_apart(leaving.mixed(address, asked, 8 + 8 * scale, seed=1000 * turn))
            assert together == alone, "who stays gets what he gets alone"
        assert leaving.wait_for(lambda: service.answers.inside == 0)
        assert leaving.wait_for(
            lambda: {model.status()[name] for name in ("running", "waiting", "memory_bytes")} == {0}
        )
        leaving.wait_for(lambda: all(after <= before[name] for name, after in leaving.held().items()), 30)
        assert {name: after for name, after in leaving.held().items() if after > before[name]} == {}
        assert (service.store_work.inside, service.looks.inside) == (0, 0)
