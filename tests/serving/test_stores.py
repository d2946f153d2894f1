"""The datastore endpoints: what is added is found at once, and stays."""

import asyncio
import base64
import errno
import io
import json
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from camml import encoders
from camml.datastore import Datastore, open_store
from camml.datastore.files import only_writer
from camml.datastore.uploads import UPLOADS
from camml.serving.engines import Piece, Prepared
from camml.serving.shelf import ServedDatastore
from camml.types import Sample
from tests.serving.conftest import MakeService, Serve
from tests.serving.leaving import wait_for
from tests.serving.test_guard import dial


@pytest.fixture
def http(make_service: MakeService, serve: Serve) -> Iterator[httpx.Client]:
    with serve(make_service()) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def png(colour: str, size: tuple[int, int] = (64, 48)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


def search(http: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    answer = http.post("/v1/stores/colours/search", json=body)
    answer.raise_for_status()
    result: list[dict[str, Any]] = answer.json()["data"]
    return result


def add(http: httpx.Client, picture: bytes | None = None, **fields: str) -> httpx.Response:
    files = {"image": ("any name.png", picture, "image/png")} if picture is not None else {}
    return http.post("/v1/stores/colours/samples", data=fields, files=files)


def test_the_list_of_stores(http: httpx.Client) -> None:
    document = http.get("/v1/stores").json()
    assert document["default"] == "colours"
    [store] = document["data"]
    assert store == http.get("/v1/stores/colours").json()
    assert (store["samples"], store["images"], store["texts"], store["encoder"]) == (4, 3, 4, "hashed")
    assert "text-image" in store["modes"]
    assert not store["read_only"]


@pytest.mark.long
def test_pages_of_samples(http: httpx.Client) -> None:
    whole = http.get("/v1/stores/colours/samples").json()
    assert [sample["id"] for sample in whole["data"]] == ["red", "green", "words", "blue"]
    assert (whole["total"], whole["has_more"]) == (4, False)
    part = http.get("/v1/stores/colours/samples", params={"offset": 1, "limit": 2}).json()
    assert part["data"] == whole["data"][1:3]
    assert part["has_more"]
    some = http.get("/v1/stores/colours/samples", params={"id": ["blue", "red"]}).json()
    assert [sample["id"] for sample in some["data"]] == ["blue", "red"]


def test_thumbnails_are_pictures(http: httpx.Client) -> None:
    for sample in http.get("/v1/stores/colours/samples").json()["data"]:
        assert bool(sample["thumbnail_url"]) == (sample["id"] != "words")
        if sample["thumbnail_url"]:
            answer = http.get(sample["thumbnail_url"], params={"side": 20, "id": sample["id"]})
            assert answer.headers["content-type"] == "image/jpeg"
            assert max(Image.open(io.BytesIO(answer.content)).size) == 20
    assert http.get("/v1/stores/colours/thumbnail", params={"id": "words"}).status_code == 404
    assert http.get("/v1/stores/colours/thumbnail", params={"id": "nobody"}).status_code == 404


class TestAdding:
    def test_the_next_search_and_the_next_question_see_it(self, http: httpx.Client) -> None:
        body = {"model": "tiny", "max_tokens": 8, "shots": 1, "messages": [{"role": "user", "content": "orange"}]}
        before = http.post("/v1/chat/completions", json=body).json()
        answer = add(http, png("orange"), text="an orange square", id="orange &1 ?", meta='{"kind": "fruit", "n": 3}')
        assert answer.status_code == 201
        assert answer.json()["meta"] == {"kind": "fruit", "n": 3}
        assert http.get(answer.json()["thumbnail_url"]).status_code == 200
        assert search(http, query="orange", k=1)[0]["id"] == "orange &1 ?"
        assert [row["id"] for row in search(http, query="square", filter={"kind": "fruit"})] == ["orange &1 ?"]
        after = http.post("/v1/chat/completions", json=body).json()
        assert [sample["id"] for sample in after["context"]] == ["orange &1 ?"] != before["context"]
        assert after["choices"] != before["choices"], "the new sample changes the answer"

    def test_it_is_there_after_a_restart(self, http: httpx.Client, store_folder: Path) -> None:
        name = add(http, png("purple"), text="purple").json()["id"]
        sample = open_store(str(store_folder))[0][name]
        assert sample.text == "purple"
        assert sample.image
        assert sample.image.parent == store_folder / UPLOADS
        assert sample.image.read_bytes() == png("purple")

    @pytest.mark.long
    def test_another_process_sees_it_and_is_seen(self, http: httpx.Client, store_folder: Path) -> None:
        from camml.types import Sample

        datastore = Datastore.open(store_folder, encoders.load("hashed", joint=True))
        add(http, text="from the server", id="a")
        datastore.add([Sample("b", "from elsewhere")])
        assert "a" in datastore
        results = []
        for _ in range(200):  # it looks once a second
            results = search(http, query="from elsewhere", mode="text-text", k=1)
            if results[0]["id"] == "b":
                break
            httpx.Client().close()
            import time

            time.sleep(0.05)
        assert results[0]["id"] == "b"

    def test_the_same_twice_is_a_conflict(self, http: httpx.Client) -> None:
        assert add(http, text="once").status_code == 201
        assert add(http, text="once").status_code == 409
        assert add(http, text="twice", id="red").status_code == 409

    @pytest.mark.parametrize(
        ("fields", "picture"),
        [
            ({"text": ""}, None),
            ({"text": " "}, None),
            ({"text": "a"}, b"no picture"),
            ({"text": "a"}, png("red")[:60]),
            ({"text": "a"}, b""),
            ({"text": "a", "meta": "[1]"}, None),
            ({"text": "a", "meta": "{"}, None),
            ({"text": "a", "meta": '{"a": {"b": 1}}'}, None),
            ({"text": "a", "meta": '{"a": NaN}'}, None),
            ({"text": "a", "meta": "[" * 50_000}, None),
        ],
    )
    def test_what_is_no_sample(
        self, http: httpx.Client, store_folder: Path, fields: dict[str, str], picture: bytes | None
    ) -> None:
        answer = add(http, picture, **fields)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]
        assert len(open_store(str(store_folder))[0]) == 4
        assert not list(store_folder.glob(f"{UPLOADS}/*"))

    @pytest.mark.parametrize("name", ["picture", "file", "image_url", "txt", "image[]"])
    def test_a_field_that_forms_do_not_have_is_refused_and_named(self, http: httpx.Client, name: str) -> None:
        for files, more in (({name: ("a.png", png("red"))}, {}), ({"image": ("a.png", png("red"))}, {name: "x"})):
            answer = http.post("/v1/stores/colours/samples", data={"text": "a pump", **more}, files=files)
            error = answer.json()["error"]
            assert (answer.status_code, error["param"], error["code"]) == (400, name, "invalid_value")
            assert error["message"] == (
                f"{name}: forms have no such field; there are text, id, meta and image, which is the picture's file"
            )
        assert http.get("/v1/stores/colours").json()["samples"] == 4

    @pytest.mark.parametrize("name", ["text", "id", "meta", "image"])
    def test_a_field_that_is_given_twice_is_refused(self, http: httpx.Client, name: str) -> None:
        twice: list[tuple[str, Any]] = [(name, (None, "{}")), (name, (None, "{}"))]
        if name == "image":
            twice = [(name, ("a.png", png(colour))) for colour in ("red", "blue")]
        answer = http.post("/v1/stores/colours/samples", files=twice)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)
        assert http.get("/v1/stores/colours").json()["samples"] == 4

    @pytest.mark.parametrize(
        "kind", ["application/x-www-form-urlencoded", "text/plain", "application/octet-stream", None]
    )
    @pytest.mark.parametrize("text", ["x", "a=b&c={}"])
    def test_json_that_does_not_say_so_is_told_what_to_say(
        self, http: httpx.Client, kind: str | None, text: str
    ) -> None:
        headers = {"Content-Type": kind} if kind else {}
        answer = http.post("/v1/stores/colours/samples", content=json.dumps({"text": text}), headers=headers)
        assert answer.status_code == 400
        said = "body: send JSON, and say so: Content-Type: application/json"
        assert answer.json()["error"]["message"].startswith(said)
        nothing = http.post("/v1/stores/colours/samples", headers=headers)
        assert nothing.json()["error"]["message"] == "a sample needs a text or a picture"

    def test_a_store_with_copies_keeps_the_picture_among_them(
        self, make_service: MakeService, serve: Serve, store_folder: Path, tmp_path: Path
    ) -> None:
        encoder = encoders.load("hashed", joint=True)
        samples = list(open_store(str(store_folder))[0])
        folder = tmp_path / "copies"
        Datastore.build(folder, samples, encoder, encoder_options={"joint": True}, copy_images=True)
        shelf = ServedDatastore.open("copies", str(folder))
        sample = shelf.add("pink", png("pink"))
        assert sample.image
        assert sample.image.parent == folder / "images"
        assert sample.image.is_file()
        assert not (folder / UPLOADS).exists()


class TestRemoving:
    def test_it_is_gone_with_its_picture(self, http: httpx.Client, store_folder: Path) -> None:
        name = add(http, png("purple"), text="purple").json()["id"]
        [file] = (store_folder / UPLOADS).iterdir()
        answer = http.delete("/v1/stores/colours/samples", params={"id": [name, "blue"]})
        assert answer.json() == {"removed": 2}
        assert not file.exists()
        assert (store_folder.parent / "blue.png").exists(), "pictures that were not uploaded are not ours to delete"
        assert {row["id"] for row in search(http, query="purple blue", mode="text-text")} == {
            "red",
            "green",
            "words",
        }
        assert len(open_store(str(store_folder))[0]) == 3

    def test_all_or_none(self, http: httpx.Client) -> None:
        answer = http.delete("/v1/stores/colours/samples", params={"id": ["red", "nobody"]})
        assert answer.status_code == 404
        assert "nobody" in answer.json()["error"]["message"]
        assert http.get("/v1/stores/colours").json()["samples"] == 4
        assert http.delete("/v1/stores/colours/samples").status_code == 400

    def test_the_last_one_too(self, http: httpx.Client) -> None:
        names = ["red", "green", "words", "blue"]
        assert http.delete("/v1/stores/colours/samples", params={"id": names}).json() == {"removed": 4}
        assert search(http, query="red") == []
        body = {"model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "red"}]}
        assert http.post("/v1/chat/completions", json=body).json()["context"] == []
        assert add(http, png("red"), text="red").status_code == 201
        assert len(search(http, query="red")) == 1


def test_search_by_picture_and_mode(http: httpx.Client, store_folder: Path) -> None:
    import base64

    url = "data:image/png;base64," + base64.b64encode((store_folder.parent / "blue.png").read_bytes()).decode()
    assert search(http, image_url=url, k=1)[0]["id"] == "blue"
    assert search(http, query="France", mode="text-text", k=1)[0]["id"] == "green"
    assert http.post("/v1/stores/colours/search", json={}).status_code == 400
    assert http.post("/v1/stores/none/search", json={"query": "a"}).status_code == 404


def test_a_read_only_server(make_service: MakeService, serve: Serve) -> None:
    with serve(make_service(read_only=True)) as address, httpx.Client(base_url=address) as http:
        assert http.get("/v1/stores/colours").json()["read_only"]
        assert add(http, text="a").status_code == 403
        assert http.delete("/v1/stores/colours/samples", params={"id": "red"}).status_code == 403


class TestEmbeddings:
    def test_the_official_client_gets_the_encoders_vectors(self, address: str) -> None:
        import numpy as np
        from openai import OpenAI

        client = OpenAI(base_url=f"{address}/v1", api_key="none")
        assert [model.id for model in client.models.list()] == ["tiny"], "clients offer all of them for a chat"
        assert client.models.retrieve("hashed").id == "hashed"
        expected = encoders.load("hashed", joint=True).embed_texts(["a red square", "blue"])
        for more in ({}, {"encoding_format": "float"}):
            response = client.embeddings.create(model="hashed", input=["a red square", "blue"], **more)
            np.testing.assert_allclose([item.embedding for item in response.data], expected, atol=1e-6)
        assert client.embeddings.create(model="colours", input="blue").data[0].index == 0

    def test_pictures_and_refusals(self, address: str, shared_store: Path) -> None:
        import base64

        import numpy as np

        file = shared_store.parent / "red.png"
        url = "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()
        body = {"model": "hashed", "input": [{"image_url": {"url": url}}]}
        result = httpx.post(f"{address}/v1/embeddings", json=body).json()["data"][0]["embedding"]
        expected = encoders.load("hashed", joint=True).embed_images([Image.open(file)])[0]
        np.testing.assert_allclose(result, expected, atol=1e-6)
        for wrong in ({"input": []}, {"input": [[1, 2]]}, {"input": "a", "dimensions": 3}):
            answer = httpx.post(f"{address}/v1/embeddings", json={"model": "hashed", **wrong})
            assert answer.status_code == 400, json.dumps(wrong)
        assert httpx.post(f"{address}/v1/embeddings", json={"model": "x", "input": "a"}).status_code == 404


def test_a_datastore_that_is_gone_hides_no_other(make_service: MakeService, serve: Serve, store_folder: Path) -> None:
    service = make_service()
    shutil.copytree(store_folder, store_folder.parent / "gone")
    gone = ServedDatastore.open("gone", str(store_folder.parent / "gone"))
    service.shelves = {"gone": gone, **service.shelves}
    with serve(service) as address, httpx.Client(base_url=address, timeout=60) as http:
        assert [store["id"] for store in http.get("/v1/stores").json()["data"]] == ["gone", "colours"]
        shutil.rmtree(store_folder.parent / "gone")
        gone._looked -= 10
        assert http.get("/v1/stores/gone").status_code == 404
        answer = http.get("/v1/stores")
        assert answer.status_code == 200
        assert [store["id"] for store in answer.json()["data"]] == ["colours"]
        assert answer.json()["default"] == "gone"
        assert http.get("/v1/stores/gone").status_code == 404


def test_numbers_that_json_does_not_have_are_null(store_folder: Path, make_service: MakeService, serve: Serve) -> None:
    datastore, _ = open_store(str(store_folder))
    datastore.add([Sample("odd", "odd", None, {"big": 1e999, "none": [float("nan"), {"a": -1e999}], "one": 1.5})])
    with serve(make_service()) as address, httpx.Client(base_url=address, timeout=60) as http:
        [sample] = http.get("/v1/stores/colours/samples?id=odd").json()["data"]
        assert sample["meta"] == {"big": None, "none": [None, {"a": None}], "one": 1.5}
        question = {"model": "tiny", "messages": [{"role": "user", "content": "odd"}], "max_tokens": 2, "shots": 4}
        for stream in (False, True):
            answer = http.post("/v1/chat/completions", json=question | {"stream": stream, "mode": "text-text"})
            assert answer.status_code == 200
            assert "Infinity" not in answer.text
            assert "NaN" not in answer.text


def test_ends_of_lines_in_texts_do_not_end_an_event(
    store_folder: Path, make_service: MakeService, serve: Serve
) -> None:
    datastore, _ = open_store(str(store_folder))
    datastore.add([Sample("lines", "one\u2028two\u2029three\x85four", None, {"a": "\u2028"})])
    question = {"model": "tiny", "messages": [{"role": "user", "content": "one two"}], "max_tokens": 2, "shots": 5}
    with serve(make_service()) as address:
        text = httpx.post(
            f"{address}/v1/chat/completions", json=question | {"stream": True, "mode": "text-text"}, timeout=60
        ).text
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line and "[DONE]" not in line]
    assert any(sample["text"] == "one\u2028two\u2029three\x85four" for sample in events[0]["context"])


@pytest.mark.long
def test_pictures_that_take_long_delay_nothing_else(
    make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service()
    ended = threading.Event()
    monkeypatch.setattr(service.pictures, "decode", lambda data: ended.wait(20) and Image.new("RGB", (8, 8), "red"))
    url = "data:image/png;base64," + base64.b64encode(png("red")).decode()
    with serve(service) as address, httpx.Client(base_url=address, timeout=60) as http, ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(http.post, "/v1/stores/colours/search", json={"image_url": url}) for _ in range(6)]
        time.sleep(0.5)
        begun = time.monotonic()
        assert http.get("/v1/stores/colours/samples").status_code == 200
        assert search(http, query="red")
        assert time.monotonic() - begun < 5
        ended.set()
        assert [answer.result().status_code for answer in slow] == [200] * 6


@pytest.mark.long
def test_vectors_of_many_pictures_pass_the_gate_of_answers_and_end_with_their_client(
    make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(max_waiting=0)
    monkeypatch.setattr(service.answers, "capacity", 1)
    encoder, made = service.shelves["colours"].encoder, []
    embed_images = encoder.embed_images
    begun, go = threading.Event(), threading.Event()

    def slow(pictures: Any) -> Any:
        begun.set()
        go.wait(60)
        made.append(len(pictures))
        return embed_images(pictures)

    monkeypatch.setattr(encoder, "embed_images", slow)
    url = "data:image/png;base64," + base64.b64encode(png("red")).decode()
    body = {"model": "colours", "input": [{"image_url": {"url": url}}] * 80}
    with serve(service) as address, httpx.Client(base_url=address, timeout=60) as http:
        data = json.dumps(body).encode()
        head = "POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        with dial(address) as line:
            line.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
            assert begun.wait(60)
        left = wait_for(lambda: service.answers.inside == 0, 60)
        go.set()
        assert left, "the client has gone"
        assert wait_for(lambda: bool(made), 60)
        begun.clear()
        go.clear()
        few = body | {"input": body["input"][:9]}
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(http.post, "/v1/embeddings", json=few)
            assert begun.wait(60)
            refused = http.post("/v1/embeddings", json=few)
            go.set()
            assert refused.status_code == 503
            answer = first.result().json()["data"]
        assert [item["index"] for item in answer] == list(range(9))
        assert made == [8, 8, 1], "of the first client's eighty no more than those under way when it left"


def test_a_change_waits_for_another_writer(http: httpx.Client, store_folder: Path) -> None:
    with ExitStack() as writing:
        writing.enter_context(only_writer(store_folder))
        threading.Timer(0.5, writing.pop_all().close).start()
        assert add(http, text="late").status_code == 201


def test_a_writer_that_does_not_end_is_said(
    http: httpx.Client, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camml.serving.service.WRITER_SECONDS", 0.3)
    with only_writer(store_folder):
        answer = add(http, text="late")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert http.get("/v1/stores/colours/samples").status_code == 200


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/v1/stores/colours/samples", "/openapi.json", "/none"])
def test_head_is_get_without_the_body(http: httpx.Client, path: str) -> None:
    get, head = http.get(path), http.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_a_full_disk_is_the_servers_trouble(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    def fails(*arguments: Any, **options: Any) -> Any:
        raise full

    with monkeypatch.context() as patch:
        patch.setattr("starlette.requests.Request._get_form", fails)
        assert add(http, png("red"), text="a").status_code == 507
    with monkeypatch.context() as patch:
        patch.setattr("camml.serving.scratch.folder", fails)
        question = {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}
        answer = http.post("/v1/chat/completions", json=question)
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk")
    assert add(http, png("red"), text="a").status_code == 201


@pytest.mark.long
def test_clients_that_go_are_counted(make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    service = make_service()
    generate = service.engine.generate

    async def slow(prepared: Prepared) -> AsyncIterator[Piece]:
        """Give each piece late, so that no machine is done before the client goes."""
        async with aclosing(generate(prepared)) as pieces:
            async for piece in pieces:
                yield piece
                await asyncio.sleep(2)

    monkeypatch.setattr(service.engine, "generate", slow, raising=False)
    question = {"model": "tiny", "messages": [{"role": "user", "content": "red"}], "max_tokens": 400, "n": 8}
    with serve(service) as address, httpx.Client(base_url=address, timeout=60) as http:
        with pytest.raises(httpx.ReadTimeout):
            http.post("/v1/chat/completions", json=question, timeout=2)
        with http.stream("POST", "/v1/chat/completions", json=question | {"stream": True}) as answer:
            next(answer.iter_lines())
        gone = wait_for(lambda: "camml_gone_total 2.0" in http.get("/metrics").text, 60)
        assert gone, "two clients went, and the figures do not say so"


@pytest.mark.parametrize(
    ("sent", "param", "said"),
    [
        ({"content": b"text=Z%FCrich", "headers": {"content-type": "application/x-www-form-urlencoded"}},
         "text", "UTF-8"),
        ({"data": {"text": "a", "image": "no file"}}, "image", "a file"),
        ({"data": {"text": "a"}, "files": [("image", ("a.png", png("red"))), ("image", ("b.png", png("blue")))]},
         "image", "one picture"),
    ],
)  # fmt: skip
def test_forms_that_lose_something_are_refused(address: str, sent: dict[str, Any], param: str, said: str) -> None:
    answer = httpx.post(f"{address}/v1/stores/colours/samples", timeout=60, **sent)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert said in answer.json()["error"]["message"]


def test_a_form_may_have_a_text_of_as_many_letters_as_json(make_service: MakeService, serve: Serve) -> None:
    with serve(make_service()) as address:
        place = f"{address}/v1/stores/colours/samples"
        picture = {"image": ("a.png", png("red"))}
        whole = httpx.post(place, data={"id": "long", "text": "é" * 1_000_000}, files=picture, timeout=60)
        assert (whole.status_code, len(whole.json().get("text", ""))) == (201, 1_000_000), whole.text[:200]
        more = httpx.post(place, data={"text": "a" * 1_000_001}, files=picture, timeout=60)
        assert (more.status_code, more.json()["error"]["param"]) == (400, "text")


class TestSamplesAsJson:
    def test_one_with_all_of_it_can_be_found(self, make_service: MakeService, serve: Serve) -> None:
        picture = io.BytesIO()
        Image.new("RGB", (20, 10), "orange").save(picture, "PNG")
        url = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
        with serve(make_service()) as address:
            place = f"{address}/v1/stores/colours/samples"
            added = httpx.post(place, json={"text": "orange", "id": "o 1", "meta": {"page": 3}, "image_url": url})
            assert (added.status_code, added.json()["id"], added.json()["meta"]) == (201, "o 1", {"page": 3})
            assert httpx.get(place).json()["total"] == 5

    def test_a_picture_alone_is_found_by_pictures_and_like_no_text(
        self, make_service: MakeService, serve: Serve
    ) -> None:
        place = "/v1/stores/colours/samples"
        picture, other = png("orange"), png("purple", (16, 64))
        url = "data:image/png;base64," + base64.b64encode(other).decode()
        with serve(make_service()) as address, httpx.Client(base_url=address, timeout=60) as http:
            sent = http.post(place, data={"id": "form"}, files={"image": ("a.png", picture)})
            assert (sent.status_code, sent.json()["text"]) == (201, "")
            assert http.post(place, json={"image_url": url, "id": "json"}).status_code == 201
            assert search(http, image_url=url, k=1)[0]["id"] == "json"
            assert search(http, query="orange", mode="text-image", k=1)[0]["id"] == "form"
            by_text = search(http, query="a red square", mode="text-text", k=7)
            assert by_text[0]["id"] == "red"
            assert [sample["score"] for sample in by_text if sample["id"] in ("form", "json")] == [0, 0]
            asked = {"model": "tiny", "messages": [{"role": "user", "content": "what"}], "samples": [{"id": "form"}]}
            answer = http.post("/v1/chat/completions", json=asked | {"max_tokens": 2})
            assert answer.status_code == 200
            assert http.post(place, json={"text": " ", "image_url": url}).status_code == 201
            nothing = http.post(place, data={"text": " "})
            assert (nothing.status_code, nothing.json()["error"]["code"]) == (400, "invalid_value")

    @pytest.mark.parametrize(
        ("body", "param"),
        [({}, None), ({"text": 3}, "text"), ({"meta": {"a": [1]}, "text": "a"}, "meta"), ({"picture": "a"}, "picture")],
    )
    def test_a_mistake_is_named(self, address: str, body: dict[str, Any], param: str | None) -> None:
        answer = httpx.post(f"{address}/v1/stores/colours/samples", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
