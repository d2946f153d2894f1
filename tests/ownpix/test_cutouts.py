"""Which drawings are taken, and of the real packages, where they can be had, how many."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageOps

from camml.errors import FetchError
from camml.ownpix import cutouts


def shape(file: Path, points: list[tuple[int, int]], color: str = "red", size: tuple[int, int] = (200, 160)) -> Path:
    """A drawing of one polygon."""
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    ImageDraw.Draw(image).polygon(points, fill=color)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)
    return file


TRIANGLE = [(10, 150), (190, 150), (40, 10)]
HOUSE = [(20, 150), (20, 60), (100, 5), (180, 60), (180, 150), (120, 150), (120, 90), (80, 90), (80, 150)]


def test_of_clip_art_what_can_be_told_apart_is_taken(tmp_path: Path) -> None:
    place = tmp_path / "usr/share/openclipart/png"
    first = shape(place / "animals" / "one.png", TRIANGLE)
    shape(place / "tools" / "house.png", HOUSE, "blue")
    Image.open(first).save(place / "animals" / "same.png")
    ImageOps.mirror(Image.open(first)).save(place / "animals" / "turned.png")
    shape(place / "food" / "gray.png", TRIANGLE, "gray")
    shape(place / "food" / "tiny.png", [(1, 1), (30, 1), (5, 30)], size=(40, 40))
    shape(place / "signs" / "other.png", HOUSE, "green")
    shape(place / "transportation/roadsigns" / "stop.png", HOUSE, "orange")
    Image.new("RGB", (200, 160), "red").save(place / "food" / "full.png")
    (place / "food" / "broken.png").write_bytes(b"nothing")
    assert [item.key for item in cutouts.clipart(tmp_path)] == ["animals-one", "tools-house"]


def test_a_picture_too_large_to_decode_is_not_opened(tmp_path: Path) -> None:
    place = tmp_path / "usr/share/openclipart/png"
    file = shape(place / "food" / "huge.png", TRIANGLE)
    data = bytearray(file.read_bytes())
    data[16:24] = (30000).to_bytes(4, "big") * 2
    file.write_bytes(data)
    assert cutouts.clipart(tmp_path) == []


def test_portraits_and_scenes_are_found(tmp_path: Path) -> None:
    place = tmp_path / "usr/share/games/wesnoth/1.16/data/core/images"
    shape(place / "portraits/elves/captain.png", HOUSE, "green")
    shape(place / "portraits/undead/zombie-elf.png", TRIANGLE, "green")
    (place / "story").mkdir()
    Image.new("RGB", (50, 40)).save(place / "story/coast.jpg")
    assert [portrait.key for portrait in cutouts.portraits(tmp_path)] == ["elves-captain"]
    assert cutouts.scenes(tmp_path) == [place / "story/coast.jpg"]


def test_the_frame_around_a_drawing_is_taken_off(tmp_path: Path) -> None:
    assert cutouts.trimmed(shape(tmp_path / "a.png", TRIANGLE)).size == (181, 141)


@pytest.mark.slow
@pytest.mark.parametrize(("topic", "least"), [("clipart", 600), ("portraits", 140)])
def test_of_the_real_packages_there_are_enough(topic: str, least: int) -> None:
    try:
        drawings = cutouts.cutouts(topic)
    except FetchError as error:
        pytest.skip(str(error))
    assert len(drawings) >= least
    assert len({drawing.key for drawing in drawings}) == len(drawings)
