"""An encoder whose vectors a person can work out, and pictures for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from camml.encoders import Vectors
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
        return _unit([[text.lower().split().count(name) for name in NAMES] for text in texts])

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        self.calls.append(("image", len(images)))
        return _unit([np.asarray(image).reshape(-1, 3).mean(axis=0) for image in images])


def picture(folder: Path, color: str, name: str | None = None) -> Path:
    """A picture of one colour, as a file."""
    path = folder / f"{name or color}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), RGB[color]).save(path)
    return path


def sample(sample_id: str, text: str, image: Path | None = None, meta: Mapping[str, Any] | None = None) -> Sample:
    """A sample."""
    return Sample(sample_id, text, image, meta or {})


def _unit(rows: Sequence[Any]) -> Vectors:
    vectors = np.asarray(rows, dtype=np.float32) + np.float32(1e-3)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
