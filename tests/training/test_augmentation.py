"""Pictures changed as another photograph of the same thing differs."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from camml import encoders
from camml.errors import ImageError
from camml.training import augmentation
from camml.training.augmentation import SIDE, changed, embed_changed


def sign() -> Image.Image:
    """Return a red disc on white."""
    image = Image.new("RGB", (120, 90), "white")
    ImageDraw.Draw(image).ellipse((30, 15, 90, 75), fill="red")
    return image


def noise() -> Image.Image:
    return Image.frombytes("RGB", (60, 60), Random(3).randbytes(60 * 60 * 3))


def share(image: Image.Image, color: tuple[int, int, int], step: int = 40) -> float:
    """Return the share of pixels near a color."""
    return float((np.abs(np.asarray(image, int) - color).max(axis=2) < step).mean())


@pytest.mark.long
def test_the_thing_stays_and_its_even_ground_goes() -> None:
    # Without the change of brightness, so that red and white can be counted.
    made = [changed(sign(), noise, Random(seed)) for seed in range(60)]
    assert all(image.size == (SIDE, SIDE) and image.mode == "RGB" for image in made)
    red, white = ([share(image, color) for image in made] for color in ((255, 0, 0), (255, 255, 255)))
    assert np.median(red) > 0.2
    assert np.median(white) < 0.01
    assert len({image.tobytes() for image in made}) == 60


def test_a_picture_without_an_even_ground_is_laid_down_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TURNED", "CUT_OFF", "BRIGHTER"):
        monkeypatch.setattr(augmentation, name, 0)
    photo = noise().resize((200, 100), Image.Resampling.NEAREST)
    blue = Image.new("RGB", (9, 9), "blue")
    for seed in range(8):
        rng = Random(seed)
        rng.random = lambda draw=rng.random: draw() * 0.4 + 0.25  # type: ignore[method-assign]  # a part of the other picture as ground
        picture = changed(photo, lambda: blue, rng)
        assert 0.3 < share(picture, (0, 0, 255), 3) < 0.9


def test_a_thing_smaller_than_all_but_its_ground_keeps_its_ground() -> None:
    dot = Image.new("RGB", (100, 100), "white")
    dot.putpixel((50, 50), (0, 0, 0))
    assert share(changed(dot, noise, Random(2)), (255, 255, 255), 90) > 0.1


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (500, 2)])
def test_pictures_of_any_shape_can_be_changed(size: tuple[int, int]) -> None:
    for seed in range(20):
        assert changed(Image.new("RGB", size, "green"), noise, Random(seed)).size == (SIDE, SIDE)


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    files = {}
    for name in ("red", "green", "blue"):
        files[name] = tmp_path / f"{name}.png"
        Image.new("RGB", (30, 30), name).save(files[name])
    return files


def test_vectors_follow_the_seed_and_not_the_order(pictures: dict[str, Path]) -> None:
    encoder = encoders.load("hashed")
    first, second = embed_changed(encoder, pictures, 2)
    assert first.shape == second.shape == (3, encoder.image_dim)
    assert not np.array_equal(first, second)
    [again] = embed_changed(encoder, dict(reversed(pictures.items())), 1)
    np.testing.assert_array_equal(again[::-1], first)
    assert not np.array_equal(embed_changed(encoder, pictures, 1, seed=1)[0], first)


def test_a_stopped_run_goes_on_where_it_was(
    pictures: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augmentation, "BATCH", 2)
    encoder, cache, seen = encoders.load("hashed"), tmp_path / "cache", []
    inner = encoder.embed_images

    def embed(images: list[Image.Image]) -> np.ndarray:
        seen.extend(images)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return inner(images)

    monkeypatch.setattr(encoder, "embed_images", embed)
    with pytest.raises(KeyboardInterrupt):
        embed_changed(encoder, pictures, 2, cache=cache)
    done = len(seen) - 2
    seen.clear()
    monkeypatch.setattr(encoder, "embed_images", lambda images: (seen.extend(images), inner(images))[1])
    resumed = embed_changed(encoder, pictures, 2, cache=cache)
    assert len(seen) == 6 - done
    for left, right in zip(resumed, embed_changed(encoder, pictures, 2), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-3)


def test_a_picture_that_is_gone_is_named(pictures: dict[str, Path]) -> None:
    pictures["blue"].unlink()
    with pytest.raises(ImageError, match=r"blue\.png"):
        embed_changed(encoders.load("hashed"), pictures, 1)
