"""Where pictures are, whichever way a datastore is reached: relative, absolute, through links, moved, copied."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from camml.datastore import Datastore, verify
from camml.datastore.places import Places, below
from camml.types import Sample
from tests.colors import Colors, picture, sample

NAMES = ["red one", "gr#n %20", "blé\n2", "ünïcode 図", "-flag", "a=b&c?d", "'quoted\"", "~tilde", "$HOME"]
NAMES += ["back\\slash"]


def pictures_of(store: Datastore) -> dict[str, bytes]:
    return {item.id: item.image.read_bytes() for item in store if item.image}


def named(folder: Path) -> list[Sample]:
    """Samples whose pictures have odd names, in a folder with an odd name."""
    colors = ["red", "green", "blue", "yellow", "purple", "pink"]
    return [
        sample(f"n{number}", f"text {number}", picture(folder / "pic tures#1", colors[number % 6], name))
        for number, name in enumerate(NAMES)
    ]


@pytest.mark.parametrize("copies", [True, False])
def test_relative_paths_mean_what_they_meant_after_the_working_directory_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: bool
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    samples = [Sample(item.id, item.text, Path(os.path.relpath(item.image or ""))) for item in named(tmp_path / "home")]
    store = Datastore.build("store", samples, Colors(), copy_images=copies)
    expected = pictures_of(store)
    assert len(expected) == len(NAMES)
    monkeypatch.chdir(tmp_path / "other")
    assert pictures_of(store) == expected
    store.reload()
    store.remove(["n0"])
    store.add([sample("m", "more", picture(tmp_path, "red"))])
    assert not list((tmp_path / "other").iterdir())
    monkeypatch.chdir(tmp_path)
    opened = Datastore.open("home/store")
    monkeypatch.chdir("/")
    assert pictures_of(opened).keys() == expected.keys() - {"n0"} | {"m"}
    assert all(opened[name].image == store[name].image for name in pictures_of(opened))


@pytest.mark.parametrize("spelling", ["store", "./store", "../home/store", "{home}/store", "{link}", "{parent}/store"])
def test_removing_keeps_the_pictures_of_the_samples_that_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "link").symlink_to(home / "store")
    (tmp_path / "parent").symlink_to(home)
    monkeypatch.chdir(home)
    spelled = spelling.format(home=home, link=tmp_path / "link", parent=tmp_path / "parent")
    samples = named(home)
    store = Datastore.build(home / "store", samples, Colors(), copy_images=True)
    expected = pictures_of(store)
    del store  # it would read them on
    Datastore.open(spelled).remove(["n0", "n1", "n2", "n3", "n4"])
    left = {name: expected[name] for name in ("n5", "n6", "n7", "n8", "n9")}
    for path in (home / "store", Path("store"), tmp_path / "link"):
        assert pictures_of(Datastore.open(path)) == left
        assert verify(path) == []
    assert len(list((home / "store" / "images").iterdir())) == len({*left.values()})


def _stay(home: Path) -> Path:
    return home / "store"


def _moved_together(home: Path) -> Path:
    return home.rename(home.with_name("away")) / "store"


def _moved_alone(home: Path) -> Path:
    (home.parent / "deep" / "er").mkdir(parents=True)
    return (home / "store").rename(home.parent / "deep" / "er" / "store")


def _copied(home: Path) -> Path:
    shutil.copytree(home, home.with_name("copy"))
    shutil.rmtree(home)
    return home.with_name("copy") / "store"


def _link_to_it(home: Path) -> Path:
    (home.parent / "a" / "b").mkdir(parents=True)
    (home.parent / "a" / "b" / "link").symlink_to(home / "store")
    return home.parent / "a" / "b" / "link"


def _relative_link_above_it(home: Path) -> Path:
    (home.parent / "up").symlink_to("home")
    return home.parent / "up" / "store"


def _moved_and_linked(home: Path) -> Path:
    away = _moved_alone(home)
    (home / "link").symlink_to(away)
    return home / "link"


MOVES = [_stay, _moved_together, _moved_alone, _copied, _link_to_it, _relative_link_above_it, _moved_and_linked]


@pytest.mark.parametrize("through", ["itself", "a link to its parent", "a link to it"])
@pytest.mark.parametrize("kind", ["copies", "beside", "given folder", "far away"])
@pytest.mark.parametrize("move", MOVES)
def test_a_store_opens_with_its_pictures_wherever_it_is_reached_from(
    tmp_path: Path, through: str, kind: str, move: Callable[[Path], Path]
) -> None:
    """With "far away", pictures are in another folder than the datastore's parent, both below what is moved."""
    home = tmp_path / "home"
    (home / "store").mkdir(parents=True)
    pictures = home / ("x/y" if kind in ("far away", "given folder") else "")
    built = home / "store"
    if through == "a link to its parent":
        (tmp_path / "before").symlink_to(home)
        built = tmp_path / "before" / "store"
        pictures = tmp_path / "before" / pictures.relative_to(home)
    elif through == "a link to it":
        (tmp_path / "before").symlink_to(home / "store")
        built = tmp_path / "before"
    samples = named(pictures)
    images = pictures if kind == "given folder" else None
    store = Datastore.build(built, samples, Colors(), copy_images=kind == "copies", images=images)
    expected = {item.id: item.image.read_bytes() for item in samples if item.image}
    assert pictures_of(store) == expected
    if kind == "copies":
        shutil.rmtree(pictures / "pic tures#1")
    place = move(home)
    if through != "itself":
        (tmp_path / "before").unlink()
    store = Datastore.open(place, Colors())
    assert pictures_of(store) == expected
    assert verify(place) == []
    more = sample("more", "red", picture(place.parent / "pic tures#1", "red", "new"))
    store.add([more])
    store.remove(["n0"])
    left = {name: data for name, data in expected.items() if name != "n0"}
    left["more"] = (more.image or Path()).read_bytes()
    assert pictures_of(store) == left
    assert pictures_of(Datastore.open(place)) == left
    again = Path(os.path.realpath(place)).rename(tmp_path / "third")
    assert pictures_of(Datastore.open(again)) == left, "it was moved once more"


def test_a_picture_beside_the_moved_store_comes_before_the_one_where_it_was(tmp_path: Path) -> None:
    home = tmp_path / "home"
    Datastore.build(home / "store", [sample("r", "red", picture(home, "red"))], Colors())
    shutil.copytree(home, tmp_path / "away")
    assert Datastore.open(tmp_path / "away" / "store")["r"].image == tmp_path / "away" / "red.png"
    (tmp_path / "away" / "red.png").unlink()
    assert Datastore.open(tmp_path / "away" / "store")["r"].image == home / "red.png"
    (home / "red.png").unlink()
    assert Datastore.open(tmp_path / "away" / "store")["r"].image == tmp_path / "away" / "red.png"
    assert "away/red.png" in verify(tmp_path / "away" / "store")[0]


def test_a_picture_that_nobody_may_look_for_is_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "now").mkdir()
    places = Places(tmp_path / "now", tmp_path / "store", (tmp_path / "before",), "../now")
    long = "x" * 300 + ".png"  # which raises an error of the system, as a folder does that may not be read
    assert places.find(long) == tmp_path / "now" / long


def test_pictures_that_may_not_be_looked_for_do_not_end_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Datastore.build(tmp_path / "store", [sample("r", "red", picture(tmp_path, "red"))], Colors())
    look = os.stat

    def stat(path: str | Path, **options: bool) -> os.stat_result:
        if str(path).endswith("red.png"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    [problem] = verify(tmp_path / "store")
    assert "the picture of sample 'r' is gone" in problem


def test_pictures_inside_a_store_that_copies_none_move_with_it(tmp_path: Path) -> None:
    store = Datastore.build(tmp_path / "store", [sample("t", "text")], Colors())
    store.add([sample("u", "upload", picture(tmp_path / "store" / "uploads", "red"))])
    (tmp_path / "store").rename(tmp_path / "renamed")
    assert Datastore.open(tmp_path / "renamed")["u"].image == tmp_path / "renamed" / "uploads" / "red.png"


def test_pictures_that_are_links_stay_what_they_are(tmp_path: Path) -> None:
    """A download cache has links to files that are named by their checksum."""
    target = picture(tmp_path / "blobs", "red", "0123")
    (tmp_path / "home" / "pictures").mkdir(parents=True)
    (tmp_path / "home" / "pictures" / "red.png").symlink_to(target)
    (tmp_path / "home" / "linked").symlink_to(tmp_path / "blobs")
    samples = [
        sample("file", "red", tmp_path / "home" / "pictures" / "red.png"),
        sample("folder", "red", tmp_path / "home" / "linked" / "0123.png"),
        sample("up", "red", tmp_path / "home" / "linked" / ".." / "blobs" / "0123.png"),
    ]
    store = Datastore.build(tmp_path / "home" / "store", samples, Colors())
    assert [item.image for item in store] == [samples[0].image, samples[1].image, target]
    assert verify(tmp_path / "home" / "store") == []


def test_a_copying_store_opened_with_another_folder_of_pictures_grows(tmp_path: Path) -> None:
    red = sample("r", "red", picture(tmp_path, "red"))
    Datastore.build(tmp_path / "store", [red], Colors(), copy_images=True)
    shutil.copytree(tmp_path / "store" / "images", tmp_path / "others")
    other = Datastore.open(tmp_path / "store", Colors(), images=tmp_path / "others")
    assert (other["r"].image or Path()).parent == tmp_path / "others"
    other.add([sample("b", "blue", picture(tmp_path, "blue"))])
    (tmp_path / "store").rename(tmp_path / "moved")
    assert pictures_of(Datastore.open(tmp_path / "moved")).keys() == {"r", "b"}
    assert verify(tmp_path / "moved") == []


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("real/a/b", "real", "a/b"),
        ("link/a/b", "real", "a/b"),
        ("real/a/b", "link", "a/b"),
        ("inner/b", "real", "a/b"),
        ("real/out/x", "real", "out/x"),
        ("link/out/x", "real", "out/x"),
        ("link/../real/a", "real", "a"),
        ("real/out/../away", "real", None),
        ("away/x", "real", None),
        ("real2/x", "real", None),
        ("absent/x", "absent", "x"),
    ],
)
def test_below(tmp_path: Path, path: str, folder: str, expected: str | None) -> None:
    (tmp_path / "real" / "a").mkdir(parents=True)
    (tmp_path / "away").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "inner").symlink_to(tmp_path / "real" / "a")
    (tmp_path / "real" / "out").symlink_to("../away")
    assert below(tmp_path / path, tmp_path / folder) == expected
