"""Two linear maps that bring texts and images together."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from camml.errors import OptionError
from camml.training.alignment import Heads, Vectors, align, matrix, save

THINGS, STYLES = 60, 3


def unit(vectors: Vectors) -> Vectors:
    """Each row of length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def samples(seed: int = 0) -> tuple[Vectors, Vectors, list[str]]:
    """Pictures and texts of things, seen through two random maps that differ, under noise that a style adds."""
    random = np.random.default_rng(seed)
    things = np.repeat(random.normal(size=(THINGS, 12)), STYLES, axis=0)
    styles = np.tile(random.normal(size=(STYLES, 8)), (THINGS, 1)) * 2
    maps = np.random.default_rng(99)  # the same for all seeds: the towers
    images = np.concatenate([things, styles], axis=1) @ maps.normal(size=(20, 40))
    texts = (things + 0.1 * random.normal(size=things.shape)) @ maps.normal(size=(12, 24))
    groups = [str(index // STYLES) for index in range(len(things))]
    return unit(images).astype(np.float32), unit(texts).astype(np.float32), groups


def recall(queries: Vectors, vectors: Vectors, groups: list[str], *, itself: bool) -> float:
    """How often the nearest vector is of the query's group; `itself` is no hit."""
    scores = unit(queries) @ unit(vectors).T
    if itself:
        np.fill_diagonal(scores, -2)
    return float(np.mean([groups[best] == own for best, own in zip(scores.argmax(1), groups, strict=True)]))


@pytest.mark.long
def test_unseen_texts_find_unseen_images() -> None:
    images, texts, groups = samples()
    heads = align(images, texts, groups, dim=16, steps=300, learning_rate=1e-2)
    images, texts, groups = samples(seed=1)
    assert heads.image.shape == (16, 40)
    assert heads.text.shape == (16, 24)
    assert recall(texts @ heads.text.T, images @ heads.image.T, groups, itself=False) > 0.6


@pytest.mark.long
def test_unseen_images_find_their_kind_in_other_styles_more_often() -> None:
    images, texts, groups = samples()
    heads = align(images, texts, groups, dim=16, steps=300, learning_rate=1e-2)
    images, _, groups = samples(seed=1)
    mapped = images @ heads.image.T
    before, after = recall(images, images, groups, itself=True), recall(mapped, mapped, groups, itself=True)
    assert after > before + 0.4


def test_the_same_seed_gives_the_same_maps() -> None:
    first, second = (align(*samples(), dim=8, steps=5, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.text, second.text)


def test_one_group_is_refused() -> None:
    images, texts, _ = samples()
    with pytest.raises(OptionError, match="two groups"):
        align(images, texts, ["a"] * len(images))


def test_more_numbers_than_the_images_have_are_refused() -> None:
    with pytest.raises(OptionError, match="dim is 41"):
        align(*samples(), dim=41)


def test_no_pairs_are_refused() -> None:
    with pytest.raises(OptionError, match="image and text"):
        matrix([])


def test_what_is_saved_is_what_was_learned_in_16_bits(tmp_path: Path) -> None:
    heads = Heads(np.full((2, 3), 0.125, np.float32), np.zeros((2, 4), np.float32))
    save(heads, tmp_path / "heads.safetensors")
    read = load_file(tmp_path / "heads.safetensors")
    np.testing.assert_array_equal(read["image"], heads.image)
    np.testing.assert_array_equal(read["text"], heads.text)
    assert {tensor.dtype for tensor in read.values()} == {np.dtype(np.float16)}
