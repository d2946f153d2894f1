"""What is far from all samples, asked of a server."""

import asyncio
import base64
import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest

from camml.assistant.threshold import Threshold
from camml.datastore import Calibration, save_calibration
from camml.datastore.calibration import Least
from camml.serving.service import Service
from camml.serving.settings import Settings
from camml.types import Query
from camml.weights import DEFAULT_MODEL
from tests.serving.conftest import MakeService, Serve


def ask(address: str, **more: object) -> dict:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "zebra"}], "max_tokens": 3, "n": 2} | more
    return httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60).json()


@pytest.mark.long
def test_it_is_refused_with_the_nearest_ones_or_answered_without_samples(
    make_service: MakeService, serve: Serve
) -> None:
    service = make_service()
    [shelf] = service.shelves.values()
    with serve(service) as address:
        answered = ask(address)
        assert answered["refused"] is False
        shelf.threshold = Threshold(1.0, None, "refuse")
        refused = ask(address)
        assert [choice["message"]["content"] for choice in refused["choices"]] == ["not in the samples"] * 2
        assert (refused["refused"], refused["choices"][0]["finish_reason"]) == (True, "stop")
        assert refused["context"] == answered["context"]
        assert "no sample is near enough" in refused["notes"][-1]
        assert refused["usage"]["completion_tokens"] == 0
        assert refused["choices"][0]["logprobs"] is None
        likely = ask(address, logprobs=True)
        assert [choice["logprobs"]["content"] for choice in likely["choices"]] == [[], []]
        older = {"model": "tiny", "prompt": "zebra", "logprobs": 2}
        told = httpx.post(f"{address}/v1/completions", json=older, timeout=60).json()["choices"][0]["logprobs"]
        assert told == {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        shelf.threshold = Threshold(1.0, None, "model")
        alone = ask(address)
        assert (alone["refused"], alone["context"]) == (False, [])
        assert alone["choices"] == ask(address, shots=0)["choices"]


@pytest.mark.long
def test_a_filter_that_lets_nothing_through_is_a_refusal_in_a_form_too(make_service: MakeService, serve: Serve) -> None:
    pytest.importorskip("llguidance")
    service = make_service()
    [shelf] = service.shelves.values()
    schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}}
    wanted = {"response_format": form, "max_tokens": 60, "n": 1}
    with serve(service) as address:
        sample = {"text": "the pump of hall B", "meta": {"hall": "B"}}
        assert httpx.post(f"{address}/v1/stores/colours/samples", json=sample, timeout=60).status_code == 201
        refused = ask(address, filter={"hall": "Z"}, **wanted)
        assert json.loads(refused["choices"][0]["message"]["content"]) == {"a": 1}
        assert (refused["refused"], refused["context"]) == (True, [])
        assert "lets none through" in refused["reason"]
        shelf.threshold = Threshold(1.0, None, "refuse")
        assert ask(address, **wanted)["refused"] is False


def test_samples_far_behind_the_nearest_are_not_read(make_service: MakeService, serve: Serve) -> None:
    service = make_service()
    [shelf] = service.shelves.values()
    picture = (Path(service.settings.stores["colours"]).parent / "red.png").read_bytes()
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "what"}]
    asked = {"messages": [{"role": "user", "content": content}], "mode": "image-image", "shots": 3}
    with serve(service) as address:
        every = ask(address, **asked)["context"]
        assert len(every) == 3
        shelf.threshold = Threshold(None, None, "refuse", margin=0.0)
        assert ask(address, **asked)["context"] == every[:1]


def test_the_margin_is_the_models_or_that_of_the_settings(camml_folder: Path, shared_store: Path, tmp_path) -> None:
    wanting = shutil.copytree(camml_folder, tmp_path / "wanting")
    (wanting / "retrieval.json").write_text('{"encoder": "hashed", "encoder_options": {"joint": true}, "margin": 0.25}')
    for given, used in ((None, 0.25), (0.5, 0.5)):
        settings = Settings(model=str(wanting), stores={"colours": str(shared_store)}, margin=given)
        service = Service.load(settings)
        assert [shelf.threshold.margin for shelf in service.shelves.values()] == [used]
        asyncio.run(service.close())


def test_a_calibration_is_gone_by_as_soon_as_it_is_there(
    make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camml.serving.shelf.RELOAD_SECONDS", 0.0)
    service = make_service()
    [shelf] = service.shelves.values()
    with serve(service) as address:
        assert not ask(address, mode="text-text")["refused"]
        record = shelf.datastore.manifest.encoder
        made_by = f"{record.name} {record.revision}"
        save_calibration(shelf.datastore, Calibration(made_by, 0.05, 4, {"text-text": Least(0.999, 4, 0.0)}))
        assert ask(address, mode="text-text")["refused"]
        (Path(service.settings.stores["colours"]) / "calibration.json").write_text("{")
        assert ask(address, mode="text-text")["refused"], "a broken one does not count"


def test_a_datastore_that_does_not_fit_the_model_is_searched_as_it_is_and_the_log_says_so(
    store_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Mock(slots=1)
    monkeypatch.setattr("camml.serving.engines.load", lambda *_, **__: engine)
    with caplog.at_level("WARNING", "camml"):
        service = Service.load(Settings(model=DEFAULT_MODEL, stores={"colours": str(store_folder)}))
    assert "was built with encoder 'hashed'" in caplog.text
    assert "--encoder" in caplog.text
    [context] = [service.shelves["colours"].search(Query("red"), 1)]
    assert len(context) == 1


def test_clients_may_name_the_default_model_of_the_version_before() -> None:
    usual = Settings(model=DEFAULT_MODEL)
    assert usual.served_name == "camml-mini"
    assert usual.answers_to("camml-mini")
    assert usual.answers_to("smollm2-135m-instruct")
    assert not usual.answers_to("gpt-4")
    assert not Settings(model="other/folder").answers_to("smollm2-135m-instruct")
    assert not Settings(model=DEFAULT_MODEL, model_name="ours").answers_to("smollm2-135m-instruct")
