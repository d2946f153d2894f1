"""Pictures that servers were sent: they go with the last sample that has them, and nothing else does."""

import os
import time
from pathlib import Path

import pytest

from camml.datastore import Datastore
from camml.datastore.uploads import UPLOADS
from tests.colors import Colors, picture, sample

SENT = ("0123456789abcdef-0123456789abcdef.png", f"mcp-{'0' * 32}.png")


@pytest.fixture
def store(tmp_path: Path) -> Datastore:
    """A datastore of a red picture beside it and pictures that were sent to servers."""
    red = sample("red", "red", picture(tmp_path, "red"))
    store = Datastore.build(tmp_path / "store", [red], Colors())
    sent = [picture(tmp_path / "store" / UPLOADS, color) for color in ("green", "blue")]
    files = [image.rename(image.with_name(name)) for image, name in zip(sent, SENT, strict=True)]
    store.add([sample(str(number), "sent", file) for number, file in enumerate(files)])
    return store


def uploads(store: Datastore) -> set[str]:
    assert store.path
    return {path.name for path in (store.path / UPLOADS).iterdir()}


def test_they_go_with_their_samples_and_other_pictures_stay(store: Datastore, tmp_path: Path) -> None:
    own = picture(tmp_path / "store" / UPLOADS, "pink")
    store.add([sample("own", "put there by a person", own)])
    store.remove(["red", "own", "0"])
    assert uploads(store) == {"pink.png", SENT[1]}
    assert (tmp_path / "red.png").exists()


def test_those_that_another_sample_has_stay(store: Datastore) -> None:
    store.add([sample("too", "the same picture", store["1"].image)])
    store.remove(["1"])
    assert SENT[1] in uploads(store)
    store.remove(["too"])
    assert uploads(store) == {SENT[0]}


def test_an_update_deletes_those_that_it_replaces_and_removes(store: Datastore) -> None:
    again = sample("0", "the same picture with other words", store["0"].image)
    store.update([again], remove=["1"])
    assert uploads(store) == {SENT[0]}
    store.update([sample("0", "no picture any more")])
    assert uploads(store) == set()


def test_one_that_is_gone_already_hinders_nothing(store: Datastore, tmp_path: Path) -> None:
    (tmp_path / "store" / UPLOADS / SENT[0]).unlink()
    assert store.remove(["0", "1"]) == 2
    assert uploads(store) == set()


def test_a_datastore_that_is_a_link_loses_them_too(store: Datastore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "store")
    Datastore.open(tmp_path / "link").remove(["0"])
    assert uploads(store) == {SENT[1]}


def test_what_killed_servers_left_goes_with_the_next_change_once_it_is_old(store: Datastore, tmp_path: Path) -> None:
    place = tmp_path / "store" / UPLOADS
    for path in place.iterdir():
        os.utime(path, (0, 0))  # those of samples are old as well
    left = [f"mcp-{'1' * 32}.png", f"{'a' * 16}-{'b' * 16}.png.12-7f.unfinished"]
    young, theirs = f"mcp-{'2' * 32}.png", ["notes.png", f"mcp-{'1' * 32}.png.bak", ".hidden"]
    for name in (*left, young, *theirs):
        (place / name).write_bytes(b"a picture")
        if name != young:
            os.utime(place / name, (time.time() - 90_000,) * 2)
    store.remove(["red"])
    assert uploads(store) == {*SENT, young, *theirs}
    store.update([sample("0", "no picture any more")])
    assert uploads(store) == {SENT[1], young, *theirs}
    assert store["1"].image.read_bytes()
