"""An encoder whose vectors a person can work out, and pictures for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from camml.encoders import Patches, Vectors
from camml.types import Sample

NAMES = ("red", "green", "blue")
RGB = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "purple": (255, 0, 255),
    "pink": (255, 60, 60),
}


class Colors:
    """Texts become counts of the words red, green and blue, images their mean colour; both of length 1."""

    name = "colors"
    image_dim = text_dim = 3

    def __init__(self, *, joint: bool = True, revision: str = "1") -> None:
        self.joint = joint
        self.revision = revision
        self.calls: list[tuple[str, int]] = []

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(("text", len(texts)))
        return unit([[text.lower().split().count(name) for name in NAMES] for text in texts])

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        self.calls.append(("image", len(images)))
        return unit([np.asarray(image).reshape(-1, 3).mean(axis=0) for image in images])


class Sentences(Colors):
    """Compares texts by their nearest passage, too, which counts half."""

    passage_share = 0.5

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return super().embed_texts([text.replace(".", " ") for text in texts])


class Quarters(Colors):
    """Compares pictures by the colours of their quarters, too, wherever in the picture these are."""

    patches = 4

    def embed_with_patches(self, images: Sequence[Image.Image]) -> tuple[Vectors, list[Patches]]:
        self.calls.append(("patches", len(images)))
        whole = unit([np.asarray(image).reshape(-1, 3).mean(axis=0) for image in images])
        return whole, [_quarters(image) for image in images]

    def likeness(self, asked: Vectors, patches: Patches, stored: Vectors, others: Sequence[Patches]) -> Vectors:
        first = unit(patches[1:])
        matches = np.asarray([(first @ unit(its[1:]).T).max(axis=1).mean() for its in others], np.float32)
        return (stored @ asked + 2 * matches) / 3


def _quarters(image: Image.Image) -> Patches:
    """int8[5, 4]: the mean colour of all, then of each quarter; the fourth number is none of a colour."""
    cells = np.asarray(image.resize((2, 2), Image.Resampling.BOX)).reshape(4, 3)
    rows = np.concatenate([cells.mean(axis=0, keepdims=True), cells]) / 2
    return np.pad(rows, ((0, 0), (0, 1))).astype(np.int8)


def picture(folder: Path, color: str, name: str | None = None) -> Path:
    """A picture of one colour, as a file."""
    path = folder / f"{name or color}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), RGB[color]).save(path)
    return path


def sample(sample_id: str, text: str, image: Path | None = None, meta: Mapping[str, Any] | None = None) -> Sample:
    """A sample."""
    return Sample(sample_id, text, image, meta or {})


def unit(rows: Sequence[Any]) -> Vectors:
    """Return rows of length 1, float32[N, D]."""
    vectors = np.asarray(rows, dtype=np.float32) + np.float32(1e-3)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
