"""Vectors of the passages of stored texts: kept when texts are indexed, computed where they lack, never in the way."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from camml.datastore import Datastore
from camml.datastore.passages import FOLDER, MOST, PassageVectors
from tests.colors import Colors, Sentences, picture, sample

TEXT = "The door is red. The roof is green. Its wall is blue and blue."


@pytest.fixture
def encoder() -> Sentences:
    return Sentences()


@pytest.fixture
def store(tmp_path: Path, encoder: Sentences) -> Datastore:
    samples = [
        sample("house", TEXT),
        sample("one", "red"),
        sample("seen", TEXT + " Red.", picture(tmp_path, "red")),
        sample("silent", "", picture(tmp_path, "blue")),
    ]
    return Datastore.build(tmp_path / "store", samples, encoder)


def embedded(encoder: Sentences) -> int:
    """Texts that were embedded so far."""
    return sum(count for kind, count in encoder.calls if kind == "text")


def test_those_of_texts_alone_are_kept_when_they_are_indexed(store: Datastore, encoder: Sentences) -> None:
    wanted = encoder.embed_texts(["The door is red.", "The roof is green.", "Its wall is blue and blue."])
    before = embedded(encoder)
    vectors = store.passages(["house", "one", "silent", "unknown"], encoder)
    assert vectors.keys() == {"house"}, "what has one passage is as near as the whole"
    assert vectors["house"] == pytest.approx(wanted, abs=1e-3)
    assert vectors["house"].dtype == np.float32
    assert embedded(encoder) == before
    store.add([sample("hut", TEXT.replace("door", "window"))])
    added = embedded(encoder)
    assert store.passages(["hut"], encoder).keys() == {"hut"}
    assert embedded(encoder) == added


def test_those_of_texts_beside_pictures_when_they_are_wanted(
    store: Datastore, encoder: Sentences, tmp_path: Path
) -> None:
    before = embedded(encoder)
    assert [len(vectors) for vectors in store.passages(["seen", "house"], encoder).values()] == [4, 3]
    assert embedded(encoder) == before + 4
    assert len(Datastore.open(tmp_path / "store", encoder).passages(["seen"], encoder)["seen"]) == 4
    assert embedded(encoder) == before + 4


def test_the_folder_may_be_deleted(store: Datastore, encoder: Sentences, tmp_path: Path) -> None:
    wanted = store.passages(["house"], encoder)["house"]
    shutil.rmtree(tmp_path / "store" / FOLDER)
    again = Datastore.open(tmp_path / "store", encoder)
    assert np.array_equal(again.passages(["house"], encoder)["house"], wanted)
    assert (tmp_path / "store" / FOLDER).is_dir()


def test_damaged_ones_are_computed_again(store: Datastore, encoder: Sentences, tmp_path: Path) -> None:
    wanted = store.passages(["house"], encoder)["house"]
    for file in (tmp_path / "store" / FOLDER).rglob("*.f16"):
        file.write_bytes(bytes(len(file.read_bytes())))
    assert np.array_equal(Datastore.open(tmp_path / "store", encoder).passages(["house"], encoder)["house"], wanted)


def test_a_disk_that_takes_nothing_costs_time_alone(
    store: Datastore, encoder: Sentences, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(tmp_path / "store" / FOLDER)
    (tmp_path / "store" / FOLDER).write_text("a file where a folder should be")
    again = Datastore.open(tmp_path / "store", encoder)
    before = embedded(encoder)
    for _ in range(2):
        assert len(again.passages(["house"], encoder)["house"]) == 3
    assert embedded(encoder) == before + 3
    assert "in memory alone" in caplog.text


def test_one_text_twice_and_an_empty_one(encoder: Sentences) -> None:
    vectors = PassageVectors(encoder).of([TEXT, "", TEXT])
    assert [its.shape for its in vectors] == [(3, 3), (0, 3), (3, 3)]
    assert embedded(encoder) == 3


def test_a_book_is_found_as_a_whole(store: Datastore, encoder: Sentences) -> None:
    store.add([sample("book", "Red. Green. " * MOST), sample("chapter", "Red. Green. " * (MOST // 2))])
    assert {name: len(its) for name, its in store.passages(["book", "chapter"], encoder).items()} == {"chapter": MOST}


def test_an_encoder_that_compares_whole_texts_keeps_none(tmp_path: Path) -> None:
    Datastore.build(tmp_path / "store", [sample("house", TEXT)], Colors())
    assert not (tmp_path / "store" / FOLDER).exists()
