"""Captions as names, and stamps in every style."""

import io
from pathlib import Path

import pytest
from PIL import Image

from camml.factpix.topics import stamps


@pytest.fixture
def stamp(tmp_path: Path) -> Path:
    image = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    image.paste((200, 30, 30, 255), (10, 5, 40, 35))
    image.paste((30, 30, 200, 255), (40, 5, 50, 35))
    image.save(tmp_path / "box.png")
    return tmp_path / "box.png"


def test_facts_are_of_captions_and_folders() -> None:
    lines = ["A guinea fowl.", "de.utf8=Ein Perlhuhn.", "fr.utf8=Une pintade.", "es.utf8=Una pintada."]
    facts = stamps.facts(lines, Path("animals/birds/guineafowl.txt"))
    assert {field: fact.answer for field, fact in facts.items()} == {
        "name": "guinea fowl",
        "theme": "animals",
        "kind": "birds",
        "german": "Perlhuhn",
        "french": "pintade",
    }


@pytest.mark.parametrize(
    "caption", ["Say cheese!", "Inkjet Printer.  Print this picture, please!", "A pipe. This is not one.", "Flower"]
)
def test_a_caption_that_is_no_name_gives_nothing(caption: str) -> None:
    assert stamps.facts([caption], Path("food/cheese.txt")) == {}


def test_folders_of_techniques_are_no_facts() -> None:
    assert "kind" not in stamps.facts(["A car."], Path("vehicles/cartoon/car.txt"))


@pytest.mark.parametrize("style", stamps.STYLES)
def test_every_style_fits_its_frame(stamp: Path, style: str) -> None:
    image = Image.open(io.BytesIO(stamps.StampDrawing(stamp, style).png()))
    assert image.mode == "RGB"
    assert 190 <= max(image.size) <= 224


def test_a_stamp_is_cut_out_and_mirrored_on_a_postcard(stamp: Path) -> None:
    plain = Image.open(io.BytesIO(stamps.StampDrawing(stamp, "color").png()))
    assert plain.size == (224, 168)
    assert plain.getpixel((20, 84)) == (200, 30, 30)
    postcard = Image.open(io.BytesIO(stamps.StampDrawing(stamp, "postcard").png()))
    red, _, blue = postcard.getpixel((30, postcard.height // 2))  # type: ignore[misc]
    assert blue > red


def test_styles_differ(stamp: Path) -> None:
    assert len({stamps.StampDrawing(stamp, style).png() for style in stamps.STYLES}) == len(stamps.STYLES)
