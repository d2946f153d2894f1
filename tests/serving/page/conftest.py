"""A server with a model that says what its samples say, and a browser."""

import asyncio
import re
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from camml import encoders
from camml.datastore import Datastore
from camml.types import Sample
from tests.layouts import picture

pytest.importorskip("fastapi", reason="needs a server: pip install 'camml[serve]'")

from camml.serving.application import create
from camml.serving.engines import Piece, Prepared, Request
from camml.serving.service import Service
from camml.serving.settings import Settings
from camml.serving.shelf import ServedDatastore

CHROMIUM = shutil.which("chromium")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-first-run")  # fmt: skip
PATIENCE = 60_000  # milliseconds
DESK = {"width": 1280, "height": 860}
PHONE = {"width": 360, "height": 740}
EVIL = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>\"'>${window.hacked=1}"


class Parrot:
    """An engine whose answers follow from the samples by rule, a word at a time."""

    slots = 4
    default_shots = 1
    most_pictures: int | None = 1
    calls = None
    most_characters = None

    def budget(self, passages: str) -> None:
        """It reads all of the samples."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.closed = threading.Event()

    def say(self, request: Request) -> str:
        """The answer: what the first sample says, unless the question asks for something else."""
        question, texts = request.query.text, [neighbor.sample.text for neighbor in request.context]
        if match := re.match(r"Is there an? (.+) in the image\?", question):
            return "Yes, there is." if not texts or match[1] in texts[0] else f"No, there is no {match[1]}."
        if "bounding box" in question:
            return "It is nowhere." if "ghost" in question else "It is at [0.1, 0.3, 0.6, 0.7]."
        if "order" in question:
            return " then ".join(texts)
        if "history" in question:
            return f"{len(request.history)} turns before"
        if "for ever" in question:
            return "on and " * 5000
        return texts[0] if texts else "I do not know."

    async def prepare(self, request: Request) -> Prepared:
        """See `Engine`."""
        self.requests.append(request)
        notes = ("the picture was not looked at",) if "note" in request.query.text else ()
        return Prepared(request, 7, request.decoding.max_new_tokens, notes)

    async def generate(self, prepared: Prepared) -> AsyncIterator[Piece]:
        """See `Engine`."""
        words = self.say(prepared.request).split(" ")
        try:
            for number, word in enumerate(words):
                await asyncio.sleep(0.005)
                yield Piece(f" {word}" if number else word, new_tokens=number + 1)
            yield Piece("", finish_reason="stop", new_tokens=len(words) + 1)
        finally:
            if prepared.request.query.text.endswith("for ever"):
                self.closed.set()

    def status(self) -> Mapping[str, float]:
        """See `Engine`."""
        return {"running": 0, "waiting": 0}

    def healthy(self) -> bool:
        """See `Engine`."""
        return True

    async def close(self) -> None:
        """See `Engine`."""


def make_store(folder: Path, count: int = 3, *, extra: tuple[Sample, ...] = ()) -> Path:
    """A datastore of pictures with a colour each."""
    samples = [
        Sample(f"s{n}", f"Picture number {n} shows a dog.", folder / picture(folder / f"{n}.png", n))
        for n in range(count)
    ]
    Datastore.build(folder / "store", [*samples, *extra], encoders.load("hashed"))
    return folder / "store"


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """The address of a running server."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(create(service), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)


def service_of(store: Path | None, engine: Any, **settings: Any) -> Service:
    """A service of one datastore, called `things`."""
    stores = {} if store is None else {"things": str(store)}
    shelves = {
        name: ServedDatastore.open(name, place, settings.get("read_only", False)) for name, place in stores.items()
    }
    return Service.of(Settings(model="parrot", stores=stores, **settings), engine, shelves)


def wait(condition: Callable[[], object]) -> None:
    """Until it holds.

    Raises:
      AssertionError: it does not within a minute.
    """
    deadline = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser; gone with its file of tests, since an event loop runs in this thread for as long as it lives."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'camml[dev]'")
    if not CHROMIUM:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()
    with pytest.raises(RuntimeError):  # later files call asyncio.run
        asyncio.get_running_loop()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens an address; whatever the browser complains of is a failure."""
    contexts, complaints = [], []

    def opened(address: str, *, size: Mapping[str, int] = DESK, scheme: str = "light", quiet: bool = False) -> Any:
        phone = size["width"] < 600
        context = chromium.new_context(viewport=dict(size), color_scheme=scheme, has_touch=phone, is_mobile=phone)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if not quiet:
            page.on("console", lambda message: complaints.append(f"{message.text} {message.location}"))
        page.goto(address)
        page.locator("#settings:visible, #key:visible, #problem:visible").first.wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def parrot() -> Parrot:
    """The model of the module's server."""
    return Parrot()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, parrot: Parrot) -> Iterator[str]:
    """A server with three samples, for tests that change none."""
    store = make_store(tmp_path_factory.mktemp("things"))
    with serving(service_of(store, parrot)) as result:
        yield result


def ask(page: Any, tab: str, question: str, picture: Path | None = None, *, whole: bool = True) -> None:
    """Write a question into the form of a tab and send it."""
    if picture:
        page.locator(f"#{tab} .composer input[type=file]").set_input_files(picture)
        page.locator(f"#{tab} .composer .well img").wait_for()
    page.locator(f"#{tab} .composer textarea").fill(question)
    page.locator(f"#{tab} .composer button[type=submit]").click()
    if whole:
        page.locator(f"#{tab} .composer button.stop").wait_for(state="detached")


def texts(page: Any, selector: str) -> list[str]:
    """The text of every element."""
    result: list[str] = page.locator(selector).all_text_contents()
    return result
