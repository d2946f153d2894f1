"""From which cosine two vectors are near-duplicates: 0.98, or what is as near to a narrow encoder."""

import logging

import numpy as np
import pytest

from camml.errors import OptionError
from camml.likeness import DUPLICATE, DuplicateDetector, usual_cosine


def spread(count: int, width: float, dim: int = 64) -> np.ndarray:
    """Vectors of length 1 about one direction; the smaller `width`, the narrower."""
    vectors = width * np.random.default_rng(0).normal(size=(count, dim)) / dim**0.5
    vectors[:, 0] += 1
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def likeness(vectors: np.ndarray, above: object = "measured", encoder: str = "test") -> DuplicateDetector:
    return DuplicateDetector(above, lambda modality, most: vectors[:most], encoder)


def test_of_an_encoder_whose_vectors_go_apart_it_is_the_usual_one(caplog: pytest.LogCaptureFixture) -> None:
    assert likeness(spread(100, 1.0)).threshold("image") == DUPLICATE
    assert caplog.records == []


def test_a_narrow_encoder_does_not_make_all_samples_duplicates(caplog: pytest.LogCaptureFixture) -> None:
    vectors = spread(100, 0.05)
    assert usual_cosine(vectors) > 0.99
    measured = likeness(vectors, encoder="narrow one")
    with caplog.at_level(logging.WARNING, "camml"):
        pairs = [measured.same(vectors[i], vectors[j], "image") for i in range(30) for j in range(i)]
    assert not any(pairs)
    assert measured.same(vectors[0], vectors[0], "image")
    [record] = caplog.records
    assert "'narrow one' is narrow here" in record.message
    assert "cosine of 0.99" in record.message
    likeness(vectors, encoder="narrow one").threshold("image")
    assert len(caplog.records) == 1  # said once, however many retrievers there are


def test_copies_in_a_store_do_not_make_it_narrow() -> None:
    vectors = spread(40, 1.0)
    assert likeness(np.repeat(vectors, 3, axis=0)).threshold("image") == DUPLICATE


def test_few_samples_do_not_say_what_is_usual() -> None:
    assert likeness(spread(7, 0.01)).threshold("text") == DUPLICATE
    assert likeness(np.empty((0, 1), np.float32)).threshold("text") == DUPLICATE


def test_a_given_cosine_is_kept_and_none_is_for_never() -> None:
    vectors = spread(10, 0.05)
    assert likeness(vectors, 0.9).threshold("image") == 0.9
    assert not likeness(vectors, None).same(vectors[0], vectors[0].copy(), "image")
    with pytest.raises(OptionError, match="duplicate_above is a cosine"):
        likeness(vectors, 1.5)
