"""A made-up catalogue of drawings, and OwnPix built of it once, with everything but the packages real."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from camml.factpix.sources import Source
from camml.ownpix import benchmark, cutouts
from camml.ownpix.cutouts import Cutout
from tests.ownpix.world import Built

COUNT = 24


def draw(folder: Path, number: int) -> Path:
    """A drawing with a colour and a corner of its own, on nothing."""
    image = Image.new("RGBA", (120, 100), (0, 0, 0, 0))
    color = (number * 37 % 256, number * 91 % 256, number * 53 % 256, 255)
    ImageDraw.Draw(image).polygon([(10, 90), (110, 90), (10 + number * 4, 10)], fill=color)
    file = folder / f"thing-{number:02}.png"
    image.save(file)
    return file


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The topics are made up, so nothing is fetched."""
    folder = tmp_path_factory.mktemp("drawings")
    made = {
        topic: [Cutout(topic, f"{topic}-{n:02}", draw(folder, n + shift)) for n in range(COUNT)]
        for topic, shift in (("clipart", 0), ("portraits", 0))
    }
    scene = folder / "scene.jpg"
    Image.effect_noise((160, 120), 60).convert("RGB").save(scene)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutouts, "cutouts", made.__getitem__)
        patch.setattr(cutouts, "scenes", lambda root: [scene])
        patch.setattr(Source, "fetch", lambda source: folder)
        yield


@pytest.fixture(scope="module")
def make(catalogue: None) -> Callable[..., dict[str, Any]]:
    """Builds the made-up benchmark."""

    def make(out: Path, **options: Any) -> dict[str, Any]:
        return benchmark.build(out, progress=False, **options)

    return make


@pytest.fixture(scope="module")
def built(make: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The made-up benchmark; not to be changed."""
    folder = tmp_path_factory.mktemp("ownpix")
    return Built(folder, make(folder))
