"""A toy map of three regions and a lake: neighbors, parts of the country, and what is drawn."""

import io
from pathlib import Path

import pytest
from PIL import Image

from camml.factpix.topics import _atlas, maps

COLORS = {"Frontier": (0, 0, 0), "Water": (0, 0, 255), "Left": (200, 0, 0), "Right": (0, 200, 0), "Isle": (9, 9, 9)}
KGM = "<map><mapFile>toy.png</mapFile><name>Toyland (Counties)</name><divisionsName>Counties</divisionsName>{}</map>"
DIVISION = (
    "<division><name>{name}</name>{more}<color><red>{0}</red><green>{1}</green><blue>{2}</blue></color></division>"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Left and Right with a line between them, Isle across the water below."""
    image = Image.new("RGB", (60, 60), COLORS["Water"])
    image.paste(COLORS["Left"], (0, 0, 29, 30))
    image.paste(COLORS["Frontier"], (29, 0, 31, 30))
    image.paste(COLORS["Right"], (31, 0, 60, 30))
    image.paste(COLORS["Isle"], (40, 42, 60, 60))
    image.save(tmp_path / "toy.png")
    more = dict.fromkeys(("Frontier", "Water"), "<ignore>yes</ignore>") | {"Left": "<capital>Leftville</capital>"}
    divisions = [DIVISION.format(*color, name=name, more=more.get(name, "")) for name, color in COLORS.items()]
    (tmp_path / "toy.kgm").write_text(KGM.format("".join(divisions)))
    return tmp_path / "toy.kgm"


def test_regions_are_the_divisions_that_are_places(file: Path) -> None:
    assert [division.name for division in _atlas.read(file).regions.values()] == ["Left", "Right", "Isle"]


def test_neighbors_meet_over_a_drawn_border_and_not_over_water(file: Path) -> None:
    atlas = _atlas.read(file)
    names = {number: division.name for number, division in atlas.regions.items()}
    near = {names[number]: {names[other] for other in others} for number, others in _atlas.neighbors(atlas).items()}
    assert near == {"Left": {"Right"}, "Right": {"Left"}, "Isle": set()}


def test_facts_are_read_off_the_map(file: Path) -> None:
    entries = {entry.facts["name"].answer: entry for entry in maps.entries_of(file)}
    left = {field: fact.answer for field, fact in entries["Left"].facts.items()}
    assert left == {
        "name": "Left",
        "kind": "county",
        "country": "Toyland",
        "capital": "Leftville",
        "part": "northwest",
        "borders": "Right",
    }
    assert list(entries["Left"].rivals["borders"]) == ["Isle"]
    assert "borders" not in entries["Isle"].facts
    assert entries["Isle"].facts["part"].answer == "southeast"


@pytest.mark.parametrize("style", maps.STYLES)
def test_the_region_stands_out_in_every_style(file: Path, style: str) -> None:
    entry = next(entry for entry in maps.entries_of(file) if entry.facts["name"].answer == "Left")
    image = Image.open(io.BytesIO(entry.drawings[style].png())).convert("RGB")
    assert max(image.size) == 224
    wanted = maps.STYLES[style].region
    colors = image.getcolors(224 * 224) or []
    assert sum(count for count, color in colors if color == wanted) > 0.05 * image.width * image.height


def test_styles_differ(file: Path) -> None:
    entry = next(iter(maps.entries_of(file)))
    assert len({drawing.png() for drawing in entry.drawings.values()}) == len(maps.STYLES)
