"""Many questions, one encoder: computed together, kept, and never mixed up."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camml import encoders
from camml.encoders import Vectors
from camml.errors import InputError
from camml.serving.encoding import MOST_CACHED, TOGETHER, BatchedCache, SharedEncoder
from tests.encoders.tiny_encoders import save_mini


@pytest.fixture
def hashed() -> Any:
    return encoders.load("hashed", joint=True)


def test_gives_what_the_encoder_within_gives(hashed: Any) -> None:
    shared = SharedEncoder(hashed)
    texts = [f"a text about {number}" for number in range(40)]
    pictures = [Image.new("RGB", (8, 8), (number, 0, 0)) for number in (1, 2, 1, 3)]
    for _ in range(2):
        assert np.array_equal(shared.embed_texts(texts), hashed.embed_texts(texts))
        assert np.array_equal(shared.embed_images(pictures), hashed.embed_images(pictures))
    assert shared.embed_texts([]).shape == hashed.embed_texts([]).shape
    assert (shared.name, shared.joint, shared.image_dim) == (hashed.name, hashed.joint, hashed.image_dim)


def test_tokens_stand_for_the_text_they_are_of(tmp_path: Path, hashed: Any) -> None:
    shared = SharedEncoder(encoders.load("mini", **save_mini(tmp_path)))
    tokens = shared._tokenizer("reddog")["input_ids"]
    assert shared.text_of(tokens).replace(" ", "") == "reddog"
    assert np.array_equal(shared.embed_texts([shared.text_of(tokens)]), shared.embed_texts(["reddog"]))
    assert shared.count_tokens([shared.text_of(tokens)]) == len(tokens)
    with pytest.raises(InputError, match="not a token here"):
        shared.text_of([15339, 1917])
    with pytest.raises(InputError, match="'hashed' takes no tokens"):
        SharedEncoder(hashed).text_of([1])


class Counted:
    """Embeds a text as its length, and notes what it was asked for at a time."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.entered, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        self.entered.set()
        self.may_go_on.wait(30)
        if "bad" in texts:
            raise ValueError("bad")
        return np.array([[len(text)] for text in texts], dtype=np.float32)


def test_those_who_wait_are_computed_together_and_a_bad_one_harms_no_other() -> None:
    work = Counted()
    together = BatchedCache(work, str)
    with ThreadPoolExecutor(12) as threads:
        first = threads.submit(together.embed, ["first"])
        assert work.entered.wait(30)
        later = [threads.submit(together.embed, ["x" * number, "same"]) for number in range(1, 8)]
        bad = threads.submit(together.embed, ["bad"])
        while len(together._waiting) < 1 + 7 + 1 + 1:
            pass
        work.may_go_on.set()
        assert np.stack(first.result()).tolist() == [[5]]
        assert [np.stack(future.result()).tolist() for future in later] == [[[number], [4]] for number in range(1, 8)]
        with pytest.raises(ValueError, match="bad"):
            bad.result()
    assert len(work.calls[1]) == 9, "all at once, and what two ask for once"
    assert np.stack(together.embed(["same", "first"])).tolist() == [[4], [5]]
    assert sum(call.count("same") for call in work.calls if "bad" not in call) == 1


def test_what_is_kept_is_bounded() -> None:
    work = Counted()
    work.may_go_on.set()
    together = BatchedCache(work, str)
    for start in range(0, MOST_CACHED + 64, 64):
        together.embed([str(number) for number in range(start, start + 64)])
    assert len(together._cache) == MOST_CACHED
    assert max(map(len, work.calls)) == TOGETHER


def test_patches_of_many_questions_are_computed_together(tmp_path: Path) -> None:
    encoder = encoders.load("mini", **save_mini(tmp_path), side=28, patches=4)
    pictures = [Image.new("RGB", (8, 8), (number, 0, 0)) for number in (1, 2, 1, 3)]
    wanted, calls = encoder.embed_with_patches(pictures), []
    embed = encoder.embed_with_patches
    shared = SharedEncoder(encoder)
    shared._compared._embed = lambda images: calls.append(len(images)) or zip(*embed(images), strict=True)
    for _ in range(2):
        vectors, patches = shared.embed_with_patches(pictures)
        np.testing.assert_allclose(vectors, wanted[0], atol=1e-6)
        assert all(np.array_equal(*pair) for pair in zip(patches, wanted[1], strict=True))
    assert calls == [3]
    assert shared.embed_with_patches([])[0].shape == (0, encoder.image_dim)
    assert encoders.patch_encoder(shared) is shared
