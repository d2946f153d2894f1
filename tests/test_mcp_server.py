"""The tools as a client of the official SDK uses them: in this process, over stdio and over HTTP."""

import base64
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

import anyio
from mcp import Client, StdioServerParameters
from PIL import Image

from camml import assistant, encoders
from camml.assistant import Collection
from camml.datastore import Datastore
from camml.mcp_server import Tools, server_of
from camml.types import Sample
from tests import tiny
from tests.fork_server import ForkServer


@pytest.fixture
def store(tmp_path: Path) -> Path:
    Datastore.build(tmp_path / "store", tiny.samples(tmp_path), encoders.load("hashed"))
    return tmp_path / "store"


@pytest.fixture
def connect(store: Path, camml_folder: Path, tmp_path: Path) -> Callable[..., Any]:
    """A client of a server in this process."""

    @asynccontextmanager
    async def connected(**options: Any) -> AsyncIterator[Client]:
        writable = options.pop("writable", False)
        limits = {name: options.pop(name) for name in ("where", "shots", "passages") if name in options}
        collection = assistant.load(camml_folder).open(store, **options)
        async with Client(server_of(Tools(collection, tmp_path, **limits), writable)) as client:
            yield client

    return connected


def run(work: Callable[[], Any]) -> Any:
    return anyio.run(work)


def test_a_search_returns_texts_and_pictures(connect, tmp_path: Path) -> None:
    async def work() -> None:
        async with connect() as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == {"search", "ask"}
            reply = await client.call_tool("search", {"query": "a red square", "k": 1})
            text, picture = reply.content
            assert json.loads(text.text)["id"] == "red"
            assert (picture.type, picture.mime_type) == ("image", "image/jpeg")
            assert base64.b64decode(picture.data)[:2] == b"\xff\xd8"

    run(work)


def test_a_picture_is_sent_or_named_by_its_path(connect, tmp_path: Path) -> None:
    async def work() -> None:
        data = (tmp_path / "blue.png").read_bytes()
        sent, lines = base64.b64encode(data).decode(), base64.encodebytes(data).decode()
        of_addresses = base64.urlsafe_b64encode(data).decode().rstrip("=")
        links = (f"data:image/png;base64,{sent}", f"DATA:image/png;base64,{lines}")
        async with connect() as client:
            for image in ("blue.png", sent, lines, of_addresses, *links):
                reply = await client.call_tool("search", {"image": image, "k": 1})
                assert json.loads(reply.content[0].text)["id"] == "blue", image
            for wrong in ("../../../etc/hostname", "AAAA", "none.png"):
                reply = await client.call_tool("search", {"image": wrong})
                assert reply.is_error, wrong
            assert (
                "neither base64 nor a data URL; give one of these, or the path of a picture in the "
                in reply.content[0].text
            )

    run(work)


def test_an_answer_comes_with_its_evidence_or_says_that_there_is_none(connect) -> None:
    async def work() -> None:
        async with connect() as client:
            said = await client.call_tool("ask", {"question": "a red square", "shots": 1})
            facts = json.loads(said.content[0].text)
            assert (facts["refused"], json.loads(said.content[1].text)["id"]) == (False, "red")
            empty = await client.call_tool("ask", {"question": " "})
            assert empty.is_error
            assert "the question is empty" in empty.content[0].text
        async with connect(min_score=1.0) as client:
            facts = json.loads((await client.call_tool("ask", {"question": "zebra"})).content[0].text)
            assert (facts["refused"], facts["answer"]) == (True, "not in the samples")

    run(work)


def test_what_is_added_is_found_by_the_next_question(connect, store: Path) -> None:
    async def work() -> None:
        async with connect(writable=True) as client:
            new = {"id": "pump", "text": "the pump needs seal 4711", "image": "red.png"}
            assert "5 samples" in (await client.call_tool("add", new)).content[0].text
            reply = await client.call_tool("search", {"query": "which seal does the pump need, 4711?", "k": 1})
            assert json.loads(reply.content[0].text)["id"] == "pump"
            again = await client.call_tool("add", new)
            assert again.is_error
            assert "there is a sample 'pump' already" in again.content[0].text

    run(work)
    kept = Datastore.open(store)["pump"].image
    assert kept is not None
    assert kept.is_relative_to(store)


def command(store: Path, model: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "camml", "mcp", "--store", str(store), "--model", str(model), *more]


@pytest.mark.long
def test_it_speaks_over_standard_input_and_output(store: Path, camml_folder: Path) -> None:
    program, *arguments = command(store, camml_folder)
    server = StdioServerParameters(command=program, args=arguments, env=dict(os.environ))

    async def work() -> None:
        async with Client(server) as client:
            reply = await client.call_tool("search", {"query": "a red square", "k": 1})
            assert json.loads(reply.content[0].text)["id"] == "red"

    run(work)


@pytest.mark.long
def test_half_a_character_is_named_and_no_client_waits_for_ever(store: Path, camml_folder: Path) -> None:
    def call(number: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return {
            "jsonrpc": "2.0",
            "id": number,
            "method": "tools/call",
            "params": {"name": name, "arguments": arguments},
        }

    who = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    lines = [
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": who},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        call(1, "ask", {"question": "x \ud800 y"}), call(2, "search", {"query": "a red square", "\udc80": 1}),
        call(3, "\ud800", {}), call(4, "search", {"query": "a red square", "k": 1}),
    ]  # fmt: skip
    server = subprocess.Popen(command(store, camml_folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin
    assert server.stdout
    with server:
        server.stdin.write("".join(f"{json.dumps(line)}\n" for line in lines) + "no JSON\n")
        server.stdin.flush()
        replies = {reply["id"]: reply for reply in (json.loads(server.stdout.readline()) for _ in range(5))}
        server.stdin.close()
    assert server.wait(30) == 0
    asked, searched, unknown = (replies[number] for number in (1, 2, 3))
    assert asked["result"]["isError"]
    why = "it contains an unpaired surrogate, which is not valid Unicode; retype the text"
    assert asked["result"]["content"][0]["text"] == f"ask, argument question: {why}"
    assert "has no argument '\\udc80'; it has: query, image, k" in searched["result"]["content"][0]["text"]
    assert unknown.get("error") or unknown["result"]["isError"]
    assert json.loads(replies[4]["result"]["content"][0]["text"])["id"] == "red"


def test_null_is_as_good_as_no_argument(connect) -> None:
    async def work() -> None:
        async with connect(writable=True) as client:
            for tool, arguments in (
                ("search", {"query": "a red square", "image": None, "k": None}),
                ("ask", {"question": "what is red", "image": None, "shots": None}),
                ("add", {"id": "a", "text": "b", "image": None}),
            ):
                reply = await client.call_tool(tool, arguments)
                assert not reply.is_error, reply.content[0].text
            reply = await client.call_tool("ask", {"question": None})
            assert reply.is_error
            assert "ask, argument question: Input should be a valid string" in reply.content[0].text

    run(work)


def test_what_is_wrong_with_a_call_is_said_in_words(connect) -> None:
    async def work() -> None:
        async with connect(writable=True) as client:
            for tool, arguments, said in (
                (
                    "add",
                    {"id": "a", "text": "b", "meta": {"c": 1}},
                    "add has no argument 'meta'; it has: id, text, image",
                ),
                ("search", {"queri": "x"}, "search has no argument 'queri'; it has: query, image, k"),
                ("search", {"query": "x", "k": "many"}, "search, argument k: Input should be a valid integer"),
                ("ask", {}, "ask, argument question: Field required"),
                ("asks", {}, "there is no tool 'asks'; there are: search, ask, add"),
            ):
                reply = await client.call_tool(tool, arguments)
                assert reply.is_error
                assert said in reply.content[0].text
                assert "pydantic" not in reply.content[0].text
            kept = await client.call_tool("search", {"query": "b", "k": 9})
            assert "a" not in ids(kept.content)

    run(work)


@pytest.fixture
def address(store: Path, camml_folder: Path, programs: ForkServer) -> Iterator[str]:
    port = free_port()
    server = programs.start(*command(store, camml_folder, "--http", str(port))[1:])
    try:
        for _ in range(1200):  # four minutes; the port is taken before the model is there
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    probe.settimeout(240)
                    probe.sendall(b"GET /mcp HTTP/1.0\r\n\r\n")
                    assert probe.recv(1)
                    break
            assert server.poll() is None
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        if server.poll() is None:
            os.kill(server.pid, signal.SIGTERM)
        server.wait(60)


def free_port() -> int:
    """A port that is free, and that the system gives to nobody who asks for any."""
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    above = int(given.read_text().split()[0]) if given.exists() else 32768
    while True:
        port = random.SystemRandom().randrange(above // 2, above)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


@pytest.mark.long
def test_it_speaks_over_http(address: str) -> None:
    async def work() -> None:
        async with Client(address) as client:
            said = await client.call_tool("ask", {"question": "a red square"})
            assert json.loads(said.content[1].text)["id"] == "red"

    run(work)


def test_what_cannot_be_added_takes_no_picture_of_another_sample(connect, store: Path) -> None:
    async def work() -> None:
        async with connect(writable=True) as client:
            await client.call_tool("add", {"id": "pump", "text": "a pump", "image": "red.png"})
            refused = await client.call_tool("add", {"id": "a/b", "text": "a pump", "image": "red.png"})
            assert refused.is_error

    run(work)
    kept = Datastore.open(store)["pump"].image
    assert kept is not None
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_a_small_picture_is_no_path_that_is_too_long(connect, tmp_path: Path) -> None:
    async def work() -> None:
        noise = Image.frombytes("RGB", (16, 16), bytes(n * n % 251 for n in range(768)))
        noise.save(tmp_path / "small.bmp")
        sent = base64.b64encode((tmp_path / "small.bmp").read_bytes()).decode()
        assert max(map(len, sent.split("/"))) > 255
        async with connect() as client:
            assert not (await client.call_tool("search", {"image": sent, "k": 1})).is_error
            refused = await client.call_tool("search", {"image": "a\0b"})
            assert "neither base64 nor a data URL" in refused.content[0].text

    run(work)


def ids(content: list[Any]) -> list[str]:
    """The ids of the samples in what a tool returned."""
    facts = [json.loads(part.text) for part in content if part.type == "text"]
    return [fact["id"] for fact in facts if "id" in fact]


def test_only_the_samples_that_the_owner_chose_are_found_and_answered_from(connect, store: Path) -> None:
    owned = [Sample(name, "The pump needs seal 11.", meta={"who": name}) for name in ("anna", "bert")]
    Datastore.open(store, encoders.load("hashed")).add(owned)

    async def work() -> None:
        async with connect(where={"who": "anna"}) as client:
            assert ids((await client.call_tool("search", {"query": "pump seal"})).content) == ["anna"]
            assert ids((await client.call_tool("ask", {"question": "Which seal?", "shots": 3})).content) == ["anna"]
        async with connect(where={"who": "nobody"}) as client:
            assert not (await client.call_tool("search", {"query": "pump seal"})).content
            answer = await client.call_tool("ask", {"question": "Which seal?"})
            assert (answer.is_error, ids(answer.content)) == (False, [])

    run(work)


def test_the_owner_says_how_many_samples_and_passages_are_read(connect, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    read = Collection.ready
    monkeypatch.setattr(Collection, "ready", lambda *given: asked.append(given[-1]) or read(*given))

    async def work() -> None:
        async with connect(shots=2, passages="off") as client:
            assert len(ids((await client.call_tool("ask", {"question": "a red square"})).content)) == 2
            assert len(ids((await client.call_tool("ask", {"question": "a red square", "shots": 1})).content)) == 1
        assert asked == ["off", "off"]

    run(work)


def test_calls_at_once_wait_for_each_other(connect, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most = list[str](), list[int]()

    def slowly(act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*given: Any) -> Any:
            at_once.append(act.__name__)
            most.append(len(at_once))
            time.sleep(0.1)
            try:
                return act(*given)
            finally:
                at_once.pop()

        return acting

    for name in ("search", "ask", "add"):
        monkeypatch.setattr(Tools, name, slowly(getattr(Tools, name)))

    async def work() -> None:
        async with connect(writable=True) as client, anyio.create_task_group() as group:

            async def call(name: str, **given: Any) -> None:
                reply = await client.call_tool(name, given)
                assert not reply.is_error, reply.content[0].text

            for name in ("pump", "lamp"):
                group.start_soon(partial(call, "add", id=name, text=f"the {name} needs seal 4711"))
                group.start_soon(partial(call, "ask", question=f"a red {name}"))
                group.start_soon(partial(call, "search", query=f"a red {name}"))

    run(work)
    assert most == [1] * 6
    assert len(Datastore.open(store)) == 6


def test_a_datastore_that_copies_pictures_keeps_one_copy_and_removing_deletes_it(
    store: Path, camml_folder: Path, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    Datastore.build(copies, list(Datastore.open(store)), encoders.load("hashed"), copy_images=True)
    Image.new("RGB", (9, 7), "orange").save(tmp_path / "orange.png")
    picture = base64.b64encode((tmp_path / "orange.png").read_bytes()).decode()
    for folder, where in ((copies, "images"), (store, "uploads")):
        before = set(folder.rglob("*.png"))
        collection = assistant.load(camml_folder).open(folder)
        Tools(collection).add("new", "an orange thing", picture)
        [added] = set(folder.rglob("*.png")) - before
        assert added.parent == folder / where
        collection.datastore.remove(["new"])
        assert set(folder.rglob("*.png")) == before
