"""Icons are found by name or alias and drawn whole, on white, at one size."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from camml.factpix import icons

pytest.importorskip("resvg_py", reason="pictures are drawn with the extra `bench`")


@pytest.fixture
def icon_set(tmp_path: Path) -> icons.IconSet:
    square = {"body": '<rect width="8" height="8" fill="#ff0000"/>'}
    wide = {"body": '<rect x="2" width="10" height="4" fill="#0000ff"/>', "left": 2, "width": 10, "height": 4}
    document = {
        "icons": {"square": square, "wide": wide},
        "aliases": {"box": {"parent": "square"}, "turned": {"parent": "wide", "rotate": 1}, "lost": {"parent": "gone"}},
        "width": 16,
        "height": 16,
    }
    (tmp_path / "icons.json").write_text(json.dumps(document))
    (tmp_path / "chars.json").write_text(json.dumps({"25a0": "square"}))
    return icons.IconSet(tmp_path / "icons.json")


def drawn(icon_set: icons.IconSet, name: str) -> Image.Image:
    drawing = icon_set.drawing(name)
    assert drawing is not None
    return Image.open(io.BytesIO(drawing.png())).convert("RGB")


def test_an_icon_is_drawn_on_white(icon_set: icons.IconSet) -> None:
    image = drawn(icon_set, "square")
    assert image.size == (224, 224)
    assert image.getpixel((50, 50)) == (255, 0, 0)
    assert image.getpixel((180, 180)) == (255, 255, 255)


def test_an_icon_keeps_its_own_frame(icon_set: icons.IconSet) -> None:
    image = drawn(icon_set, "wide")
    assert image.size == (224, 90)
    assert image.getpixel((2, 2)) == image.getpixel((221, 87)) == (0, 0, 255)


def test_an_alias_is_the_same_picture(icon_set: icons.IconSet) -> None:
    assert drawn(icon_set, "box").tobytes() == drawn(icon_set, "square").tobytes()
    assert icon_set.body("box") == icon_set.body("square")


@pytest.mark.parametrize("name", ["turned", "lost", "unknown", "", None])
def test_what_there_is_not_is_none(icon_set: icons.IconSet, name: str | None) -> None:
    assert icon_set.drawing(name) is None


def test_characters_have_names(icon_set: icons.IconSet) -> None:
    assert icon_set.names_of_characters == {"25a0": "square"}
