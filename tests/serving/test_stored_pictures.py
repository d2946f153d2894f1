"""Stored pictures that break while the server runs: the question is answered, and no path gets out."""

from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from camml.answering import Decoding
from camml.errors import ImageError, InputError, SampleError, StoreNotFoundError
from camml.serving.engines import Piece
from camml.serving.problems import of_exception, without_paths
from camml.serving.searching import Search
from camml.serving.service import Evidence, Question
from camml.types import Query
from tests.serving.conftest import MakeService, Serve, run_apart

ASK = {"model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "red"}], "mode": "text-text"}


def break_(file: Path, how: str) -> None:
    match how:
        case "gone":
            file.unlink()
        case "cut":
            file.write_bytes(file.read_bytes()[:40])
        case "words":
            file.write_text("no picture")
        case "folder":
            file.unlink()
            file.mkdir()


@pytest.mark.parametrize("how", ["gone", "cut", "words", "folder"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_question_is_answered_without_a_picture_that_broke(
    how: str, stream: bool, make_service: MakeService, serve: Serve, store_folder: Path
) -> None:
    with serve(make_service()) as address, httpx.Client(base_url=address, timeout=60) as http:
        break_(store_folder.parent / "red.png", how)
        answer = http.post("/v1/chat/completions", json=ASK | {"stream": stream})
        assert answer.status_code == 200
        assert "its text was read alone" in answer.text
        assert str(store_folder.parent) not in answer.text
        if not stream:
            [red] = [sample for sample in answer.json()["context"] if sample["id"] == "red"]
            assert (red["text"], red["store"], red["thumbnail_url"]) == ("a red square", "colours", None)
        thumbnail = http.get("/v1/stores/colours/thumbnail?id=red")
        assert thumbnail.status_code == 404
        assert str(store_folder.parent) not in thumbnail.text


@pytest.mark.long
def test_a_long_picture_costs_no_answer(make_service: MakeService, serve: Serve, store_folder: Path) -> None:
    with serve(make_service()) as address, httpx.Client(base_url=address, timeout=60) as http:
        Image.new("RGB", (800, 20_000), "red").save(store_folder.parent / "red.png")
        answer = http.post("/v1/chat/completions", json=ASK)
        assert (answer.status_code, answer.json()["notes"]) == (200, [])


def test_a_picture_that_breaks_after_it_was_looked_at(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = make_service()
    prepare = service.engine.prepare

    async def fails(request: Any) -> Any:
        if any(neighbor.sample.image for neighbor in request.context):
            raise ImageError("/srv/pictures/red.png: is empty")
        return await prepare(request)

    async def ask() -> Evidence | Piece:
        async with aclosing(service.ask(Question(Query("red"), Decoding(2), search=Search("text-text")))) as events:
            return await anext(events)

    monkeypatch.setattr(service.engine, "prepare", fails, raising=False)
    result = run_apart(ask())
    assert isinstance(result, Evidence)
    assert "their texts were read alone" in result.notes[0]
    assert "/srv/pictures/red.png" in caplog.text


@pytest.mark.parametrize("kind", [ImageError, InputError, SampleError, StoreNotFoundError])
def test_no_error_shows_a_path(kind: type[Exception], tmp_path: Path) -> None:
    message = of_exception(kind(f"{tmp_path / 'a.png'}: no such image; check the path")).message
    assert str(tmp_path) not in message


@pytest.mark.parametrize(
    "text",
    [
        "no model 'a/b' here; give one/two",
        "https://example.org/a/b.png: answers 404",
        "data:image/png;base64,/9j/4AA",
        "1/2",
    ],
)
def test_what_only_looks_like_a_path_stays(text: str) -> None:
    assert without_paths(text) == text
