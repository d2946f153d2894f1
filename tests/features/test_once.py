"""Features of the images of one batch: those of the tower, each computed once."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from camml.errors import ImageError
from camml.features import once
from camml.features.once import DeduplicatedFeatures
from tests import tiny


@pytest.fixture(scope="module")
def model():
    return tiny.model()


def test_are_those_of_the_tower_and_zeros_where_there_is_none(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(once, "BATCH", 2)
    processor = tiny.processor(model.config)
    files = [tiny.image(tmp_path, str(n), (60 * n, 10, 250 - 50 * n)) for n in range(3)]
    seen, tower = [], model.vlm.tower_features
    monkeypatch.setattr(model.vlm, "tower_features", lambda pixels: seen.append(len(pixels)) or tower(pixels))
    features = DeduplicatedFeatures(model, processor)
    result = features([files[0], None, files[1], files[0], files[2]])
    again = features([files[2], None])
    assert seen == [2, 1]
    with torch.no_grad():
        plain = tower(processor.pixels(files))
    torch.testing.assert_close(result[[0, 2, 4]], plain)
    assert torch.equal(result[3], result[0])
    assert torch.equal(again[0], result[4])
    assert not result[1].any()
    assert not again[1].any()


def test_tell_images_in_memory_apart(model) -> None:
    red, blue = Image.new("RGB", (9, 9), (255, 0, 0)), Image.new("RGB", (9, 9), (0, 0, 255))
    result = DeduplicatedFeatures(model, tiny.processor(model.config))([red, blue, red])
    assert torch.equal(result[0], result[2])
    assert not torch.equal(result[0], result[1])


def test_a_missing_image_is_an_error(model, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="nowhere"):
        DeduplicatedFeatures(model, tiny.processor(model.config))([tmp_path / "nowhere.png"])
