"""The five demonstrations, driven as a person does."""

import base64
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image

from tests.layouts import picture
from tests.serving.page.conftest import Parrot, ask, texts, wait


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture twice as wide as high, of the colours of sample `s1`."""
    return tmp_path / picture(tmp_path / "photo.png", 1, (200, 100))


@pytest.mark.long
def test_with_and_without_context_stand_side_by_side(open_page: Any, address: str, photo: Path) -> None:
    page = open_page(f"{address}/#compare")
    ask(page, "compare", "What is this?", photo)
    assert texts(page, "#compare .half h3:first-child") == ["With context", "Made from 1 sample", "Without context"]
    assert texts(page, "#compare .reply") == ["Picture number 1 shows a dog.", "I do not know."]
    assert texts(page, "#compare .evidence .id") == ["s1"]
    left, right = (page.locator("#compare .half").nth(n).bounding_box() for n in (0, 1))
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]


@pytest.mark.long
def test_a_sequence_is_put_in_order_by_keys_buttons_and_dragging(
    open_page: Any, address: str, parrot: Parrot, photo: Path
) -> None:
    page = open_page(f"{address}/#sequences")
    for name in ("s0", "s1", "s2"):
        page.get_by_role("button", name=f"Add {name} to the sequence").click()

    def order() -> list[str]:
        return texts(page, "#sequences .order .id")

    page.get_by_role("button", name="Move s2, 3 of 3").press("ArrowUp")
    assert order() == ["s0", "s2", "s1"]
    page.keyboard.press("ArrowUp")  # the focus went with it
    assert order() == ["s2", "s0", "s1"]
    assert texts(page, "#sequences [aria-live].unseen") == ["s2 is now 1 of 3"]
    page.get_by_role("button", name="Move s2 down").click()
    assert order() == ["s0", "s2", "s1"]
    page.get_by_role("button", name="Move s2 up").press("Enter")
    assert order() == ["s2", "s0", "s1"]
    page.keyboard.press("ArrowDown")  # the button cannot be pressed at the top, so the handle has the focus
    assert order() == ["s0", "s2", "s1"]
    handles = page.locator("#sequences .handle")
    start, end = handles.nth(0).bounding_box(), handles.nth(2).bounding_box()
    page.mouse.move(start["x"] + 5, start["y"] + 5)
    page.mouse.down()
    page.mouse.move(start["x"] + 5, end["y"] + end["height"], steps=4)
    page.mouse.up()
    assert order() == ["s2", "s1", "s0"]
    page.get_by_role("button", name="Take s1 out").click()
    page.locator("#sequences summary").click()
    page.locator("#sequences .own input[type=file]").set_input_files(photo)
    page.locator("#sequences .own .well img").wait_for()
    page.locator("#sequences .own textarea").fill("My own words.")
    page.locator("#sequences .own button[type=submit]").click()
    ask(page, "sequences", "In which order?")
    said = "Picture number 2 shows a dog. then Picture number 0 shows a dog. then My own words."
    assert texts(page, "#sequences .reply") == [said]
    assert texts(page, "#sequences .evidence .id") == ["s2", "s0", "own 1"]
    assert parrot.requests[-1].context[2].sample.image is not None
    page.get_by_role("button", name="Move s0 up").click()
    ask(page, "sequences", "In which order?")
    assert texts(page, "#sequences .reply")[0].startswith("Picture number 0 shows a dog. then Picture number 2")


@pytest.mark.long
def test_samples_for_a_sequence_are_found_by_words(open_page: Any, address: str) -> None:
    page = open_page(f"{address}/#sequences")
    page.locator("#sequences input[type=search]").fill("Picture number 2 shows a dog.")
    page.locator("#sequences input[type=search]").press("Enter")
    wait(lambda: texts(page, "#sequences .shelf .id")[:1] == ["s2"])
    ask(page, "sequences", "What is this?", whole=False)
    wait(lambda: texts(page, "#sequences .problem:visible") == ["Put at least one sample into the sequence first."])


@pytest.mark.long
def test_objects_are_checked_with_and_without_context(open_page: Any, address: str, photo: Path) -> None:
    page = open_page(f"{address}/#objects")
    ask(page, "objects", "dog")
    assert texts(page, "#objects .problem:visible") == ["Add the picture to check first."]
    ask(page, "objects", "dog, umbrella, dog", photo)
    assert texts(page, "#objects tbody th") == ["dog", "umbrella"]
    assert texts(page, "#objects tbody strong") == ["yes", "yes", "yes", "no"]
    assert texts(page, "#objects tbody tr.differs th") == ["umbrella"]
    assert texts(page, "#objects .verdict") == ["Context changed 1 of 2 answers."]


@pytest.mark.long
def test_a_box_is_drawn_in_both_conventions(open_page: Any, address: str, photo: Path) -> None:
    page = open_page(f"{address}/#boxes")
    ask(page, "boxes", "what one sits on", photo)
    page.locator("#boxes svg rect").first.wait_for()
    assert "what one sits on" not in texts(page, "#boxes .reply")[0]
    frames = {name: page.locator(f"#boxes rect.{name}") for name in ("padded", "normalised")}
    numbers = {
        name: [float(rect.get_attribute(key)) for key in ("x", "y", "width", "height")] for name, rect in frames.items()
    }  # [0.1, 0.3, 0.6, 0.7] on 200 x 100 pixels; the square has 50 rows above and below
    assert numbers["normalised"] == pytest.approx([20, 30, 100, 40])
    assert numbers["padded"] == pytest.approx([20, 10, 100, 80])
    image, box = page.locator("#boxes .canvas img").bounding_box(), frames["normalised"].bounding_box()
    edge = 4  # pixels of the line
    assert box["x"] - image["x"] == pytest.approx(0.1 * image["width"], abs=edge)
    assert box["y"] - image["y"] == pytest.approx(0.3 * image["height"], abs=edge)
    assert box["width"] == pytest.approx(0.5 * image["width"], abs=2 * edge)
    page.get_by_label("on the picture itself").uncheck()
    assert not frames["normalised"].is_visible()
    assert frames["padded"].is_visible()
    ask(page, "boxes", "the ghost")
    page.locator("#boxes .note").wait_for()
    assert texts(page, "#boxes .note")[0].startswith("The answer holds no box")


@contextmanager
def images_api(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An endpoint that draws: its base URL, and what it was asked."""
    asked: list[dict[str, Any]] = []
    file = io.BytesIO()
    Image.new("RGB", (32, 24), "teal").save(file, "PNG")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({**body, "path": self.path, "key": self.headers.get("Authorization")})
            answer = {"data": [{"b64_json": base64.b64encode(file.getvalue()).decode()}]}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer if status == 200 else {"error": {"message": "no money left"}}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No endpoint that draws is set, whatever the machine has."""
    for name in ("BASE_URL", "API_KEY"):
        monkeypatch.delenv(f"OPENAI_{name}", raising=False)
        monkeypatch.delenv(f"CAMML_IMAGES_{name}", raising=False)


@pytest.mark.long
def test_a_grounded_answer_is_drawn(open_page: Any, address: str, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with images_api() as (base, asked):
        monkeypatch.setenv("CAMML_IMAGES_BASE_URL", base)
        monkeypatch.setenv("CAMML_IMAGES_API_KEY", "secret")
        page = open_page(f"{address}/#drawing")
        ask(page, "drawing", "What is this?", photo)
        prompt = page.get_by_label("Prompt for the picture")
        assert prompt.input_value() == "Picture number 1 shows a dog."
        prompt.fill("A dog, in oil.")
        page.get_by_role("button", name="Draw it").click()
        drawn = page.locator("#drawing .drawn img")
        wait(lambda: drawn.count() and drawn.evaluate("image => image.naturalWidth") == 32)
    assert asked == [{"model": "dall-e-3", "prompt": "A dog, in oil.", "n": 1, "response_format": "b64_json",
                      "path": "/v1/images/generations", "key": "Bearer secret"}]  # fmt: skip


@pytest.mark.long
def test_an_endpoint_that_refuses_is_quoted(open_page: Any, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with images_api(403) as (base, _):
        monkeypatch.setenv("CAMML_IMAGES_BASE_URL", base)
        page = open_page(f"{address}/#drawing", quiet=True)
        ask(page, "drawing", "What is this?")
        page.get_by_role("button", name="Draw it").click()
        page.locator("#drawing .drawn .problem").wait_for()
        assert texts(page, "#drawing .drawn .problem") == [f"{base} refuses to draw: HTTP 403 no money left."]


@pytest.mark.long
def test_without_a_key_the_page_says_what_is_missing(open_page: Any, address: str) -> None:
    page = open_page(f"{address}/#drawing")
    assert "OPENAI_API_KEY" in texts(page, "#drawing .note")[0]
    ask(page, "drawing", "What is this?")
    assert page.get_by_role("button", name="Draw it").is_disabled()
