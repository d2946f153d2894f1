"""Vectors without any weights: words hashed to places, images as histograms. For tests, and for a first try offline.

Two texts are near when they share words, two images when they share colours and the directions of their edges. With
`joint=True` an image is instead described by the names of its colours, so that the text "red" finds a red image.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from PIL import Image

from camml.encoders import Vectors
from camml.errors import OptionError

COLORS = {
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "white": (255, 255, 255),
    "red": (220, 20, 30),
    "orange": (255, 140, 0),
    "yellow": (250, 220, 20),
    "green": (0, 140, 50),
    "cyan": (0, 200, 220),
    "blue": (20, 50, 190),
    "purple": (130, 40, 150),
    "pink": (250, 150, 190),
    "brown": (120, 70, 30),
}
SIDE = 32
CELLS = 4
ANGLES = 8
LEVELS = 4
IMAGE_DIM = CELLS * CELLS * ANGLES + 4 * LEVELS**3


class HashedEncoder:
    """An `Encoder` whose vectors follow from the input alone, on every machine the same."""

    name = "hashed"

    def __init__(self, dim: int = 256, joint: bool = False) -> None:
        if dim < 8:
            raise OptionError(f"the hashed encoder needs a dim of at least 8, not {dim}")
        self.joint = joint
        self.text_dim = dim
        self.image_dim = dim if joint else IMAGE_DIM
        self.revision = f"1-{dim}-{'joint' if joint else 'apart'}"

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Return float32[N, text_dim], each row of length 1: hashed words and pairs of words."""
        return self._stack([self._embed_words(_count_words(text)) for text in texts], self.text_dim)

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return float32[N, image_dim], rows of length 1: edges and colours, or with `joint` the names of colours."""
        embed = (lambda image: self._embed_words(_name_colors(image))) if self.joint else _describe
        return self._stack([embed(image) for image in images], self.image_dim)

    def _embed_words(self, weights: Mapping[str, float]) -> Vectors:
        vector = np.zeros(self.text_dim, np.float32)
        for word, weight in weights.items():
            number = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")
            vector[(number >> 1) % self.text_dim] += weight if number & 1 else -weight
        length = np.linalg.norm(vector)
        if length < 1e-6:  # no word at all, or words that cancel each other
            vector[0], length = 1.0, np.float32(1.0)
        scaled: Vectors = (vector / length).astype(np.float32)
        return scaled

    @staticmethod
    def _stack(rows: Sequence[Vectors], dim: int) -> Vectors:
        return np.stack(rows) if rows else np.empty((0, dim), np.float32)


def load(dim: int = 256, joint: bool = False) -> HashedEncoder:
    """Load the hashed encoder.

    Args:
      dim: width of text vectors, and with `joint` of image vectors too.
      joint: put images into the space of texts, by the names of their colours.
    Raises:
      OptionError: `dim` is below 8.
    """
    return HashedEncoder(dim, joint)


def _count_words(text: str) -> dict[str, float]:
    """Count words and pairs of neighbouring words, by the square root of their frequency; pairs count half."""
    words = re.findall(r"\w+", text.casefold())
    single, pairs = (
        Counter(words),
        Counter(f"{first} {second}" for first, second in pairwise(words)),
    )
    return {word: n**0.5 for word, n in single.items()} | {pair: n**0.5 / 2 for pair, n in pairs.items()}


def _pixels(image: Image.Image) -> Vectors:
    """Return float32[SIDE, SIDE, 3] of an image, from 0 to 255."""
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def _name_colors(image: Image.Image) -> dict[str, float]:
    """Return the names of an image's colours, each with the share of the image that it fills."""
    table = np.asarray(list(COLORS.values()), np.float32)
    distances = ((_pixels(image).reshape(-1, 1, 3) - table) ** 2).sum(-1)
    counts = np.bincount(distances.argmin(-1), minlength=len(COLORS)) / SIDE**2
    return {name: float(part) for name, part in zip(COLORS, counts, strict=True) if part > 0.02}


def _describe(image: Image.Image) -> Vectors:
    """Return float32[IMAGE_DIM]: edge directions in 4 x 4 cells and coarse colours in quarters, weighted equally."""
    pixels = _pixels(image)
    gray = pixels.mean(-1)
    down, right = np.gradient(gray)
    angle = ((np.arctan2(down, right) % np.pi) / np.pi * ANGLES).astype(int) % ANGLES
    row, column = np.mgrid[:SIDE, :SIDE] // (SIDE // CELLS)
    cell = (row * CELLS + column) * ANGLES + angle
    edges = np.bincount(cell.ravel(), np.hypot(down, right).ravel(), CELLS * CELLS * ANGLES)
    level = (pixels / 256 * LEVELS).astype(int) @ np.array([LEVELS**2, LEVELS, 1])
    quarter = (row // 2) * 2 + column // 2
    colors = np.bincount((quarter * LEVELS**3 + level).ravel(), minlength=4 * LEVELS**3)
    # The root keeps one large area from hiding all small ones.
    parts = [np.sqrt(part / max(part.sum(), 1)) for part in (edges, colors)]
    vector = np.concatenate(parts)
    scaled: Vectors = (vector / np.linalg.norm(vector)).astype(np.float32)
    return scaled
