"""Patches of stored pictures: kept when they are indexed, computed where they lack, and never in the way."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camml.datastore import Datastore
from camml.datastore.patches import FOLDER
from tests.colors import Colors, Quarters, picture, sample


@pytest.fixture
def encoder() -> Quarters:
    return Quarters()


@pytest.fixture
def store(tmp_path: Path, encoder: Quarters) -> Datastore:
    samples = [sample(color, color, picture(tmp_path, color)) for color in ("red", "green", "blue")]
    return Datastore.build(tmp_path / "store", [*samples, sample("none", "no picture")], encoder)


def computed(encoder: Quarters) -> int:
    """Pictures whose patches were computed so far."""
    return sum(count for kind, count in encoder.calls if kind == "patches")


def test_they_are_kept_when_pictures_are_indexed(store: Datastore, encoder: Quarters, tmp_path: Path) -> None:
    wanted = encoder.embed_with_patches([Image.open(tmp_path / "red.png")])[1][0]
    before = computed(encoder)
    assert before == 3 + 1
    patches = store.patches(["red", "none", "blue", "unknown"], encoder)
    assert patches.keys() == {"red", "blue"}
    assert patches["red"].dtype == np.int8
    assert np.array_equal(patches["red"], wanted)
    assert computed(encoder) == before
    store.add([sample("pink", "pink", picture(tmp_path, "pink"))])
    assert computed(encoder) == before + 1
    assert store.patches(["pink"], encoder).keys() == {"pink"}
    assert computed(encoder) == before + 1
    again = Datastore.open(tmp_path / "store", encoder)  # as another process does
    assert again.patches(["red", "pink"], encoder).keys() == {"red", "pink"}
    assert computed(encoder) == before + 1


def test_what_lacks_is_computed_once(store: Datastore, encoder: Quarters, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "store" / FOLDER)
    again = Datastore.open(tmp_path / "store", encoder)
    before = computed(encoder)
    assert len(again.patches(["red", "green"], encoder)) == 2
    assert len(again.patches(["red", "green", "blue"], encoder)) == 3
    assert computed(encoder) == before + 3
    assert len(Datastore.open(tmp_path / "store", encoder).patches(["red", "green", "blue"], encoder)) == 3
    assert computed(encoder) == before + 3


def test_a_picture_that_is_deleted_later_is_still_compared(store: Datastore, encoder: Quarters, tmp_path: Path) -> None:
    (tmp_path / "red.png").unlink()
    assert store.patches(["red"], encoder).keys() == {"red"}
    shutil.rmtree(tmp_path / "store" / FOLDER)
    assert Datastore.open(tmp_path / "store", encoder).patches(["red", "green"], encoder).keys() == {"green"}


def test_those_of_a_replaced_picture_are_renewed_with_its_vector(
    store: Datastore, encoder: Quarters, tmp_path: Path
) -> None:
    before = store.patches(["red"], encoder)["red"]
    picture(tmp_path, "blue", "red")
    assert np.array_equal(store.patches(["red"], encoder)["red"], before)
    store.update([sample("red", "red", tmp_path / "red.png")])
    patches = store.patches(["red", "blue"], encoder)
    assert np.array_equal(patches["red"], patches["blue"])
    assert not np.array_equal(patches["red"], before)


def test_those_of_another_picture_are_never_taken_for_its_own(
    store: Datastore, encoder: Quarters, tmp_path: Path
) -> None:
    before = store.patches(["red"], encoder)["red"]
    shutil.rmtree(tmp_path / "store" / FOLDER)
    picture(tmp_path, "blue", "red")
    again = Datastore.open(tmp_path / "store", encoder)
    assert again.patches(["red", "green"], encoder).keys() == {"green"}
    picture(tmp_path, "red")
    assert np.array_equal(again.patches(["red"], encoder)["red"], before)


def test_damaged_ones_are_computed_again(store: Datastore, encoder: Quarters, tmp_path: Path) -> None:
    for file in (tmp_path / "store" / FOLDER).rglob("*.f16"):
        file.write_bytes(bytes(len(file.read_bytes())))
    before = computed(encoder)
    wanted = encoder.embed_with_patches([Image.open(tmp_path / "red.png")])[1][0]
    again = Datastore.open(tmp_path / "store", encoder).patches(["red"], encoder)
    assert np.array_equal(again["red"], wanted)
    assert computed(encoder) == before + 2


def test_a_disk_that_takes_nothing_costs_time_alone(
    store: Datastore, encoder: Quarters, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(tmp_path / "store" / FOLDER)
    (tmp_path / "store" / FOLDER).write_text("a file where a folder should be")
    again = Datastore.open(tmp_path / "store", encoder)
    before = computed(encoder)
    for _ in range(2):
        assert len(again.patches(["red", "green"], encoder)) == 2
    assert computed(encoder) == before + 2
    assert "in memory alone" in caplog.text


def test_an_encoder_that_compares_none_keeps_none(tmp_path: Path) -> None:
    encoder = Colors()
    store = Datastore.build(tmp_path / "store", [sample("red", "red", picture(tmp_path, "red"))], encoder)
    assert store.patches(["red"], encoder) == {}
    assert not (tmp_path / "store" / FOLDER).exists()
