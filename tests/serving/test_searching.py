"""Ranges, weights and re-ranking, as a request and the options of a server say."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from starlette.testclient import TestClient

from camml import encoders
from camml.datastore import Datastore
from camml.errors import OptionError
from camml.features.reranking import Reranker
from camml.model.retrieval_settings import RetrievalSettings
from camml.serving.application import create
from camml.serving.service import Service
from camml.serving.settings import Settings
from camml.types import Context, Query, Sample
from tests.layouts import picture
from tests.serving.page.conftest import Parrot, service_of

BOUGHT = ["2023-12-31", "2024-02-29", "2024-05-31", "2025-01-01"]


class Backwards:
    """A cross-encoder that likes best what was found last."""

    def ordered(self, queries: Sequence[Query], contexts: Sequence[Context]) -> list[Context]:
        """See `Reranker`."""
        return [context[::-1] for context in contexts]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    samples = [
        Sample(f"p{n}", f"pump number {n}" + " pump" * n, tmp_path / picture(tmp_path / f"{n}.png", n),
               {"price": 10 * n, "bought": bought})
        for n, bought in enumerate(BOUGHT)
    ]  # fmt: skip
    Datastore.build(tmp_path / "store", samples, encoders.load("hashed"))
    return service_of(tmp_path / "store", Parrot())


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(create(service)) as client:
        yield client


def search(client: TestClient, **body: Any) -> list[str]:
    answer = client.post("/v1/stores/things/search", json={"query": "pump"} | body)
    assert answer.status_code == 200, answer.text
    return [sample["id"] for sample in answer.json()["data"]]


def ask(client: TestClient, **body: Any) -> Any:
    asked = {"model": "parrot", "messages": [{"role": "user", "content": "pump"}], "shots": 2}
    return client.post("/v1/chat/completions", json=asked | body)


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"price": {"<=": 20, ">": 0}}, {"p1", "p2"}),
        ({"price": {"<": 1e-7}}, {"p0"}),
        ({"price": {">=": "20"}}, {"p2", "p3"}),
        ({"bought": {">=": "2024", "<": "2025"}}, {"p1", "p2"}),
        ({"bought": {"<": "2024-05-31"}, "price": 10}, {"p1"}),
        ({"price": 30}, {"p3"}),
    ],
)
def test_ranges_of_numbers_and_dates(client: TestClient, wanted: dict[str, Any], ids: set[str]) -> None:
    assert set(search(client, filter=wanted)) == ids
    context = ask(client, filter=wanted, shots=4).json()["context"]
    assert {sample["id"] for sample in context} == ids


@pytest.mark.parametrize(
    ("bounds", "said"),
    [({"<=": "cheap"}, "'cheap' is neither a number nor a date"), ({"=>": 3}, "filter.price"), ({}, "filter.price"),
     ({"<=": True}, "filter.price"), ({"<=": [1]}, "filter.price")],
)  # fmt: skip
def test_what_is_no_range_is_refused(client: TestClient, bounds: dict[str, Any], said: str) -> None:
    answer = ask(client, filter={"price": bounds})
    assert answer.status_code == 400
    assert said in answer.text


def test_weights_change_the_order(client: TestClient, tmp_path: Path) -> None:
    from camml.images import open_image
    from camml.images.data_urls import data_url

    asked = {"query": "pump number 0", "image_url": data_url(open_image(tmp_path / "3.png"))}
    assert search(client, **asked, weights={"image": 1})[0] == "p3"
    assert search(client, **asked, weights={"text": 1})[0] == "p0"
    for weights in ({"image": -1}, {"sound": 1}, {"image": 0}):
        body = {"query": "pump", "weights": weights}
        assert client.post("/v1/stores/things/search", json=body).status_code == 400


def test_a_cross_encoder_orders_unless_a_request_says_no(service: Service, client: TestClient) -> None:
    usual = search(client)
    refused = ask(client, rerank=True)
    assert refused.status_code == 400
    assert "--rerank" in refused.text
    [shelf] = service.shelves.values()
    shelf.reranker = Backwards()  # type: ignore[assignment]
    assert search(client) == usual
    assert search(client, rerank=True) == usual[::-1]
    assert [neighbor["id"] for neighbor in ask(client, rerank=True).json()["context"]] == usual[::-1][:2]
    shelf.usual = shelf.usual.__class__("auto", rerank=True)
    assert search(client) == usual[::-1]
    assert search(client, rerank=False) == usual


@pytest.mark.parametrize("more", [{"shots": 0}, {"samples": [{"text": "a pump"}]}, {"shots": 0, "store": "things"}])
def test_what_cannot_be_is_refused_where_nothing_is_searched_too(client: TestClient, more: dict[str, Any]) -> None:
    for wrong, said in (
        ({"weights": {"image": 0}}, "weights are {'image': 0.0}"), ({"rerank": True}, "no cross-encoder"),
        ({"filter": {"price": {"<=": "cheap"}}}, "neither a number nor a date"),
    ):  # fmt: skip
        refused = ask(client, **more, **wrong)
        assert (refused.status_code, said in refused.text) == (400, True), refused.text
    assert ask(client, **more, weights={"image": 1}, rerank=False, filter={"price": 1}).status_code == 200


def test_a_server_searches_as_its_model_and_its_options_say(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cross = Backwards()
    model = SimpleNamespace(
        settings=RetrievalSettings("hashed", mode="text-text"), folder=tmp_path, use="perceiver", shots=1,
        check=lambda _: None,
    )  # fmt: skip
    monkeypatch.setattr("camml.assistant.load", lambda *_, **__: model)
    monkeypatch.setattr("camml.serving.engines.load", lambda *_, **__: Mock(slots=1))
    monkeypatch.setattr(Reranker, "load", lambda name: cross)
    settings = Settings(
        model="m", stores={"things": str(tmp_path / "store")}, rerank="cross", weights={"image": 2.0, "text": 1.0}
    )
    [shelf] = Service.load(settings).shelves.values()
    assert shelf.reranker is cross
    assert (shelf.usual.mode, shelf.usual.rerank, shelf.usual.weights) == ("text-text", True, settings.weights)
    [plain] = Service.load(Settings(model="m", stores=settings.stores)).shelves.values()
    assert (plain.reranker, plain.usual.rerank, plain.usual.weights) == (None, False, None)


def test_weights_that_cannot_be_are_refused_before_anything_is_loaded() -> None:
    with pytest.raises(OptionError, match="give image, text or both"):
        Settings(model="m", weights={"sound": 1.0})
