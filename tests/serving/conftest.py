"""A server with a tiny model and a small datastore."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from transformers import LlamaForCausalLM

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("python_multipart")

import uvicorn
from httpx._config import DEFAULT_TIMEOUT_CONFIG

from camml import encoders
from camml.datastore import Datastore
from camml.serving import application, engines
from camml.serving.engines import Engine, Piece, Prepared
from camml.serving.server import config as configure
from camml.serving.service import Service
from camml.serving.settings import Settings
from camml.serving.shelf import ServedDatastore
from tests import tiny
from tests.serving.templates import QWEN

Result = TypeVar("Result")


@pytest.fixture(scope="session", autouse=True)
def patient_clients() -> Iterator[None]:
    """Clients of httpx wait a minute by themselves, not five seconds: the server shares a busy machine with others."""
    with pytest.MonkeyPatch.context() as patch:
        for part in ("connect", "read", "write", "pool"):
            patch.setattr(DEFAULT_TIMEOUT_CONFIG, part, 60.0)
        yield


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A datastore of four samples, by an encoder that sees colours and words in one space; not to be changed."""
    return _build(tmp_path_factory.mktemp("stores"))


def _build(folder: Path) -> Path:
    encoder = encoders.load("hashed", joint=True)
    Datastore.build(folder / "colours", tiny.samples(folder), encoder, encoder_options={"joint": True})
    return folder / "colours"


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    """One like it for one test; no copy, which would find the pictures of the first where its own are gone."""
    (tmp_path / "stores").mkdir()
    return _build(tmp_path / "stores")


@pytest.fixture(scope="session")
def engine(camml_folder: Path) -> Iterator[Engine]:
    """The tiny CaMML model, behind the transformers engine."""
    loaded = engines.load("transformers", camml_folder, slots=16)
    yield loaded
    run_apart(loaded.close())


def run_apart(work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of a coroutine, run in a thread: a browser of a test has an event loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


class Kept:
    """An engine that outlives the server that uses it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def close(self) -> None:
        """Nothing."""


MakeService = Callable[..., Service]


def service_of(engine: Engine, store: Path, **settings: Any) -> Service:
    """A service over an engine and a datastore."""
    chosen = Settings(model="tiny", stores={"colours": str(store)}, **settings)
    return Service.of(chosen, Kept(engine), {"colours": ServedDatastore.open("colours", str(store), chosen.read_only)})


@pytest.fixture
def make_service(engine: Engine, store_folder: Path) -> MakeService:
    """A service over the tiny model and a datastore of its own; arguments are settings."""
    return partial(service_of, engine, store_folder)


Serve = Callable[[Service], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Runs a service on a real socket of this machine; gives its address."""

    @contextmanager
    def running(service: Service) -> Iterator[str]:
        config = configure(application.create(service), drain_seconds=60)
        config.port = 0
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            threading.Event().wait(0.01)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(120)
            assert not thread.is_alive(), "the server did not end"

    return running


@pytest.fixture(scope="session")
def address(engine: Engine, shared_store: Path, serve: Serve) -> Iterator[str]:
    """The address of a server that all tests share, with the settings it has by itself."""
    with serve(service_of(engine, shared_store)) as address:
        yield address


class Scripted(Kept):
    """The engine, which says what a test wants."""

    says = ""
    asked: Prepared

    async def generate(self, prepared: Prepared) -> AsyncIterator[Piece]:
        self.asked = prepared
        for index in range(prepared.request.n):
            for place, letter in enumerate(self.says):
                yield Piece(letter, index, None, place + 1)
            yield Piece("", index, "stop", len(self.says) + 1)


@pytest.fixture(scope="module")
def calling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A tiny language model whose template knows tools."""
    folder = tmp_path_factory.mktemp("models") / "llm"
    torch.manual_seed(3)
    settings = tiny.text_config()
    settings.max_position_embeddings = 4096
    LlamaForCausalLM(settings).save_pretrained(folder)
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = QWEN
    tokenizer.save_pretrained(folder)
    loaded = engines.load("transformers", folder)
    yield loaded
    run_apart(loaded.close())


@pytest.fixture(scope="module")
def scripted(calling: Engine) -> Scripted:
    return Scripted(calling)


@pytest.fixture(scope="module")
def calling_address(scripted: Scripted, shared_store: Path, serve: Serve) -> Iterator[str]:
    """The address of a server whose model says what a test wants."""
    service = service_of(scripted, shared_store)
    service.engine = scripted
    with serve(service) as address:
        yield address
