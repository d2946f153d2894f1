"""Where pictures are found that a file names from another folder."""

from pathlib import Path
from unicodedata import normalize

import pytest

from camml import layouts
from camml.layouts import Layout


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize("there", ["a/1.jpg", "a/1.gif", "a/1.png", "train/a/1.jpg", "val/a/1.jpg", "test/a/1.png"])
def test_a_picture_is_found_by_its_other_endings_and_in_the_folders_of_splits(tmp_path: Path, there: str) -> None:
    assert layouts.find_picture(tmp_path, "a/1.jpg") is None
    assert layouts.find_picture(tmp_path, "a/1.jpg") != touch(tmp_path / there)
    assert layouts.find_picture(tmp_path, "a/1.jpg") == tmp_path / there


def test_only_names_in_jpg_have_other_endings(tmp_path: Path) -> None:
    touch(tmp_path / "1.gif")
    assert layouts.find_picture(tmp_path, "1.png") is None
    assert layouts.find_picture(tmp_path, "1.JPG") == tmp_path / "1.gif"


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
@pytest.mark.parametrize("there", ["Bücher/é.jpg", "val/Bücher/é.png"])
def test_a_picture_is_found_whether_letters_and_accents_are_one_character_or_two(
    tmp_path: Path, forms: tuple[str, str], there: str
) -> None:
    named, stored = normalize(forms[0], "Bücher/é.jpg"), normalize(forms[1], there)
    assert layouts.find_picture(tmp_path, named) is None
    touch(tmp_path / stored)
    assert layouts.find_picture(tmp_path, named) == tmp_path / stored
    assert layouts.find_picture(tmp_path / "elsewhere", str(tmp_path / named)) == (
        None if there.startswith("val") else tmp_path / stored
    )


def test_of_two_pictures_whose_names_look_alike_each_is_found(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        touch(tmp_path / normalize(form, "é.jpg"))
    for form in ("NFC", "NFD"):
        assert layouts.find_picture(tmp_path, normalize(form, "é.jpg")) == tmp_path / normalize(form, "é.jpg")


NAME = "data/llava/llava_665k/coco/train2017/1.jpg"


@pytest.mark.parametrize(
    ("images", "expected", "dropped"),
    [
        (None, ".", 0),  # beside the file's folder, above it
        ("data/llava/llava_665k", ".", 0),  # where the pictures are, though names begin further up
        (".", ".", 0),
        ("data", ".", 0),
    ],
)
def test_names_start_from_the_folder_above(tmp_path: Path, images: str | None, expected: str, dropped: int) -> None:
    picture = touch(tmp_path / NAME)
    file = touch(tmp_path / "data" / "memory.json")
    layout = layouts.choose(file, [NAME], None if images is None else tmp_path / images)
    assert layout == Layout(tmp_path / expected, dropped)
    assert layout.place(NAME) == picture


def test_names_start_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = touch(tmp_path / "project" / NAME)
    file = touch(tmp_path / "elsewhere" / "memory.json")
    monkeypatch.chdir(tmp_path / "project")
    assert layouts.choose(file, [NAME]).place(NAME) == picture


@pytest.mark.parametrize("name", [NAME, "/home/somebody/LLaVA/coco/train2017/1.jpg"])
def test_pictures_that_were_moved_are_found_by_the_ends_of_their_names(tmp_path: Path, name: str) -> None:
    picture = touch(tmp_path / "big disk" / "coco" / "train2017" / "1.jpg")
    file = touch(tmp_path / "data" / "memory.json")
    layout = layouts.choose(file, [name], tmp_path / "big disk")
    assert layout.place(name) == picture
    assert layouts.choose(file, [name], tmp_path / "big disk" / "coco" / "train2017").place(name) == picture


def test_the_name_alone_is_not_enough_unless_a_person_names_the_folder(tmp_path: Path) -> None:
    file = touch(tmp_path / "data" / "memory.json")
    touch(tmp_path / "data" / "image.png")
    name = "images/train/7/image.png"
    assert layouts.choose(file, [name]).find(name) is None


def test_the_folder_where_most_are_is_chosen(tmp_path: Path) -> None:
    file = touch(tmp_path / "data" / "memory.json")
    touch(tmp_path / "data" / "a/1.png")
    touch(tmp_path / "a/1.png")
    touch(tmp_path / "a/2.png")
    assert layouts.choose(file, ["a/1.png", "a/2.png"]).root == tmp_path
    assert layouts.choose(file, ["a/1.png"]).root == tmp_path / "data"


def test_some_are_looked_at_from_the_first_to_the_last() -> None:
    names = [str(number) for number in range(1000)]
    looked = layouts.spread(names)
    assert (len(looked), looked[0], looked[-1]) == (layouts.LOOKED_AT, "0", "999")
    assert layouts.spread(names[:3]) == ["0", "1", "2"]


def test_where_nothing_is_found_the_first_place_stands(tmp_path: Path) -> None:
    file = touch(tmp_path / "data" / "memory.json")
    layout = layouts.choose(file, [NAME])
    assert layout.find(NAME) is None
    assert layout.place(NAME) == tmp_path / "data" / NAME
