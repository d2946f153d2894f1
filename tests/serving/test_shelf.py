"""A datastore behind a server, which several threads read and others change."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from camml import encoders
from camml.datastore import Datastore
from camml.encoders import Vectors
from camml.features.passages import Budget
from camml.serving.application import create
from camml.serving.links import Links
from camml.serving.problems import ApiError
from camml.serving.shelf import ServedDatastore
from camml.serving.wire import SampleOut
from camml.types import Neighbor, Query, Sample
from tests.layouts import picture
from tests.serving.conftest import run_apart
from tests.serving.page.conftest import Parrot, make_store, service_of

LONG = "The harbour crane was painted last spring. It weighs 4711 tons in all. It stands beside the old mill."


@pytest.fixture
def was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sample was there when somebody looked, and is gone when it is read."""
    monkeypatch.setattr(Datastore, "__contains__", lambda *_: True)


def test_passages_are_chosen_with_the_lock_of_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoders.load("hashed")
    embed, locked = encoder.embed_texts, list[bool]()

    def embed_texts(texts: Sequence[str]) -> Vectors:
        locked.append(shelf.encoder._texts.working.locked())  # type: ignore[attr-defined]
        return embed(texts)

    monkeypatch.setattr(encoder, "embed_texts", embed_texts)
    datastore = Datastore.open(make_store(tmp_path), encoder)
    shelf = ServedDatastore("things", datastore, encoder)
    read = shelf.read(
        "How many tons does it weigh?",
        (Neighbor(Sample("crane", LONG), 1.0),),
        Budget(8, lambda text: len(text.split())),
    )
    assert "4711" in read[0].text
    assert locked
    assert all(locked)


def test_samples_are_added_with_the_locks_of_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, locked = encoders.load("hashed"), dict[str, bool]()
    embed_texts, embed_images = encoder.embed_texts, encoder.embed_images

    def texts(texts: Sequence[str]) -> Vectors:
        locked["texts"] = shelf.encoder._texts.working.locked()  # type: ignore[attr-defined]
        return embed_texts(texts)

    def images(images: Sequence[Image.Image]) -> Vectors:
        locked["images"] = shelf.encoder._images.working.locked()  # type: ignore[attr-defined]
        return embed_images(images)

    monkeypatch.setattr(encoder, "embed_texts", texts)
    monkeypatch.setattr(encoder, "embed_images", images)
    shelf = ServedDatastore("things", Datastore.open(make_store(tmp_path), encoder), encoder)
    shelf.add("a new thing", (tmp_path / picture(tmp_path / "new.png", 9)).read_bytes())
    assert locked == {"texts": True, "images": True}


def test_questions_are_answered_while_changes_wait_for_each_other(tmp_path: Path) -> None:
    service = service_of(make_store(tmp_path), Parrot())
    shelf = service.shelf("things")

    async def ask() -> list[Sample]:
        with shelf._writing:  # as long as another change is at work
            changes = [asyncio.create_task(service.change(shelf.add, f"thing {number}")) for number in range(8)]
            await asyncio.sleep(0)  # all of them are on their way, and none is done
            context = await asyncio.wait_for(service.thread(shelf.search, Query("dog"), 1), 60)
            assert not any(change.done() for change in changes)
        added = await asyncio.wait_for(asyncio.gather(*changes), 60)
        await service.close()
        with pytest.raises(RuntimeError, match="after shutdown"):
            await service.change(shelf.add, "too late")
        assert len(context) == 1
        return added

    added = run_apart(ask())
    assert {sample.text for sample in added} == {f"thing {number}" for number in range(8)}
    assert len(shelf.datastore) == 3 + 8


@pytest.mark.usefixtures("was_there")
def test_a_sample_that_goes_while_it_is_looked_up_is_said_not_to_be_there(tmp_path: Path) -> None:
    shelf = ServedDatastore.open("things", str(make_store(tmp_path)))
    assert [sample.id for sample in shelf.samples(["s1", "s0", "s1"])] == ["s1", "s0", "s1"]
    with pytest.raises(ApiError, match="no sample 'gone'"):
        shelf.samples(["s1", "gone"])


@pytest.mark.usefixtures("was_there")
def test_evidence_that_goes_before_it_is_shown_is_shown_without_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServedDatastore, "search", lambda *_: (Neighbor(Sample("gone", "It was red."), 1.0),))
    asked = {"model": "parrot", "messages": [{"role": "user", "content": "what"}], "shots": 1}
    with TestClient(create(service_of(make_store(tmp_path), Parrot()))) as client:
        answer = client.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200, answer.text
    [sample] = answer.json()["context"]
    assert (sample["id"], sample["store"]) == ("gone", None)


@pytest.mark.parametrize("asked", ["", "?id=s0&id=s2"])
def test_pages_of_samples_are_made_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    show, loops = Links.sample, list[asyncio.AbstractEventLoop]()

    def sample(self: Links, shown: Sample, store: str | None) -> SampleOut:
        with suppress(RuntimeError):  # there is none in this thread
            loops.append(asyncio.get_running_loop())
        return show(self, shown, store)

    monkeypatch.setattr(Links, "sample", sample)
    with TestClient(create(service_of(make_store(tmp_path), Parrot()))) as client:
        answer = client.get(f"/v1/stores/things/samples{asked}")
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) == (2 if asked else 3)
    assert loops == []
