"""What a server gives its engine."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from camml.features.samples import FOLDER
from camml.serving import application, engines
from camml.serving.service import Service
from camml.serving.settings import Settings
from tests.serving.conftest import MakeService, run_apart


class Enough(Exception):
    """Nothing is to be loaded."""


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of every engine that is loaded; none is."""
    results: list[dict[str, Any]] = []

    def load(name: str, model: Path, **options: Any) -> None:
        results.append(options)
        raise Enough

    monkeypatch.setattr(engines, "load", load)
    return results


def options_of(given: list[dict[str, Any]], **settings: Any) -> dict[str, Any]:
    with pytest.raises(Enough):
        Service.load(Settings(**settings))
    return given.pop()


def test_the_cache_beside_a_datastore_is_used_where_there_is_one(
    given: list[dict[str, Any]], camml_folder: Path, llm_folder: Path, store_folder: Path
) -> None:
    settings = {"model": str(camml_folder), "stores": {"colours": str(store_folder)}}
    assert options_of(given, **settings) == {}
    (store_folder / FOLDER).mkdir()
    assert options_of(given, **settings) == {"sample_cache": str(store_folder / FOLDER)}
    own = {"sample_cache": "elsewhere"}
    assert options_of(given, **settings, engine_options=own) == own
    assert options_of(given, **settings, engine_options={"use": "in_prompt"}) == {"use": "in_prompt"}
    assert options_of(given, **settings, engine="vllm") == {}
    assert options_of(given, **settings | {"model": str(llm_folder)}) == {}


def test_the_memory_for_answers_is_an_option_of_each_engine(given: list[dict[str, Any]], llm_folder: Path) -> None:
    settings = {"model": str(llm_folder), "memory": "2GB"}
    assert options_of(given, **settings) == {"memory": 2 * 10**9}
    assert options_of(given, **settings, engine="vllm") == {"kv_cache_memory_bytes": 2 * 10**9}


def test_a_model_that_dies_ends_the_process_so_that_it_is_started_again(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(application, "WATCH_SECONDS", 0.01)
    service, healthy, ended = make_service(), [True, True, False], []
    monkeypatch.setattr(service.engine, "healthy", lambda: healthy.pop(0) if len(healthy) > 1 else False, raising=False)
    app = application.create(service, lambda: ended.append(True))

    async def live() -> None:
        async with app.router.lifespan_context(app):
            for _ in range(200):
                if ended:
                    return
                await asyncio.sleep(0.01)

    run_apart(live())
    assert ended == [True]
    assert service.dead
    assert "the model has stopped" in caplog.text
