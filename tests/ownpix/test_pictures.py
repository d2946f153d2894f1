"""A thing as it is stored and as it is asked about."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camml.ownpix.pictures import CHANGES, GROUNDS, STORED, ThingPicture


@pytest.fixture
def thing(tmp_path: Path) -> Path:
    image = Image.new("RGBA", (90, 60), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (5, 5, 45, 55))
    image.paste((0, 0, 255, 255), (45, 5, 85, 55))
    image.save(tmp_path / "thing.png")
    return tmp_path / "thing.png"


def picture(thing: Path, change: str, seed: str = "0", scenes: tuple[Path, ...] = ()) -> Image.Image:
    return Image.open(io.BytesIO(ThingPicture(thing, change, seed, scenes).png()))


def columns(image: Image.Image, channel: int) -> float:
    """The mean column of the pixels that are of a pure colour."""
    pixels = np.asarray(image).astype(int)
    pure = (pixels[..., channel] > 240) & (pixels.sum(-1) - pixels[..., channel] < 20)
    assert pure.any()
    return float(np.nonzero(pure)[1].mean())


@pytest.mark.parametrize("change", [STORED, *CHANGES])
def test_every_picture_is_the_same_again(thing: Path, change: str) -> None:
    image = picture(thing, change)
    assert (image.mode, image.size) == ("RGB", (224, 224))
    assert image.tobytes() == picture(thing, change).tobytes()
    assert image.tobytes() != picture(thing, change, seed="1").tobytes()


def test_only_a_mirrored_thing_is_turned_round(thing: Path) -> None:
    for change in (STORED, "background", "cropped"):
        image = picture(thing, change)
        assert columns(image, 0) < columns(image, 2)
    image = picture(thing, "mirrored")
    assert columns(image, 0) > columns(image, 2)


def test_a_cropped_thing_reaches_beyond_the_picture(thing: Path) -> None:
    pixels = np.asarray(picture(thing, "cropped")).astype(int)
    pure = (pixels.max(-1) > 240) & (np.sort(pixels, -1)[..., 1] < 20)
    assert pure[:, 0].any() or pure[:, -1].any()


@pytest.mark.parametrize("change", CHANGES)
def test_the_ground_is_of_another_kind_than_the_stored_one(thing: Path, change: str, monkeypatch) -> None:
    used: list[str] = []
    for name, make in list(GROUNDS.items()):
        monkeypatch.setitem(GROUNDS, name, lambda *args, name=name, make=make: used.append(name) or make(*args))
    for seed in map(str, range(30)):
        picture(thing, STORED, seed)
        picture(thing, change, seed)
    assert all(stored != asked for stored, asked in zip(used[::2], used[1::2], strict=True))
    assert set(used) == set(GROUNDS) - {"scene"}


def test_landscapes_may_be_behind_it(thing: Path, tmp_path: Path) -> None:
    scene = tmp_path / "scene.jpg"
    Image.new("RGB", (300, 200), (12, 120, 40)).save(scene)
    corners = {picture(thing, "background", str(n), (scene,)).getpixel((0, 0)) for n in range(40)}
    assert any(isinstance(c, tuple) and abs(c[1] - 120) < 4 and c[0] < 20 for c in corners)
