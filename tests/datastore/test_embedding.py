"""Files are read while the encoder is at work."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camml.datastore import embedding
from camml.datastore.embedding import embed
from camml.encoders import Vectors
from camml.types import Sample
from tests.colors import Colors, picture, sample


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    return [sample(name, name, picture(tmp_path, name)) for name in ("red", "green", "blue", "yellow")]


def test_the_next_images_are_opened_while_the_encoder_works(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, real = {sample.id: threading.Event() for sample in samples}, embedding.open_image
    turns = iter([*opened.values()][1:])

    class Patient(Colors):
        def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
            following = next(turns, None)
            assert following is None or following.wait(timeout=20), "the next file was not opened"
            return super().embed_images(images)

    def open_image(path: Path) -> Image.Image:
        image = real(path)
        opened[path.stem].set()
        return image

    monkeypatch.setattr(embedding, "open_image", open_image)
    [embedded] = embed(samples, Patient(), tmp_path / "work", 1)
    [at_once] = embed(samples, Colors(), tmp_path / "other", 4)
    np.testing.assert_array_equal(embedded.image, at_once.image)


def test_an_encoder_that_fails_stops_the_reading(samples: list[Sample], tmp_path: Path) -> None:
    class Broken(Colors):
        def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
            raise RuntimeError("out of memory")

    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="out of memory"):
        list(embed(samples, Broken(), tmp_path / "work", 1))
    assert set(threading.enumerate()) <= before


def test_a_cached_chunk_that_was_damaged_is_computed_again(samples: list[Sample], tmp_path: Path) -> None:
    work = tmp_path / "work"
    [before] = embed(samples, Colors(), work, 4)
    [chunk] = work.glob("*.npz")
    whole = chunk.read_bytes()
    changed = (whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :] for place in range(0, len(whole), 5))
    for data in (b"", whole[:20], whole[:-1], *changed):  # a power cut leaves an empty file, mostly
        chunk.write_bytes(data)
        [again] = embed(samples, Colors(), work, 4)
        np.testing.assert_array_equal(again.image, before.image)
