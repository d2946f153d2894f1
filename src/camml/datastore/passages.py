"""Vectors of the passages of texts, kept beside a datastore and computed where they lack."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from camml import passages
from camml.datastore.cached import CachedArrays
from camml.encoders import Encoder, Vectors
from camml.passages import Passage

FOLDER = "passages"
"""Folder of a datastore that holds them; it may be deleted at any time."""
MOST = 512
"""Passages of a text that is found by them, at most: those of a book would take minutes to embed."""
VERSION = 3
"""Version of how texts are split; another number makes the vectors that are kept invalid."""


class PassageVectors:
    """The vectors of the passages of texts, by the texts.

    Args:
      encoder: what embeds them.
      folder: of the datastore; None keeps them in memory.

    Example:
      >>> from camml import encoders
      >>> [vectors] = PassageVectors(encoders.load("hashed")).of(["It is red. It weighs 3 kg."])
      >>> len(vectors)
      2
    """

    def __init__(self, encoder: Encoder, folder: Path | None = None) -> None:
        self.encoder = encoder
        self.cache = CachedArrays(folder, FOLDER, json.dumps([encoder.name, encoder.revision, VERSION]))

    def of(self, texts: Sequence[str]) -> list[Vectors]:
        """Return float32[P, D] for each text: the vectors of its P passages, as `passages.split` gives them."""
        parts = {text: passages.split(text) for text in texts}
        keys = {text: _key(text) for text, its in parts.items() if its}
        cached = self.cache.get(keys.values())
        known = {text: cached[key] for text, key in keys.items() if len(cached.get(key, ())) == len(parts[text])}
        if lacking := [text for text in keys if text not in known]:
            made = self.encoder.embed_texts([as_compared(text, part) for text in lacking for part in parts[text]])
            ends = np.cumsum([len(parts[text]) for text in lacking])
            for text, vectors in zip(lacking, np.split(made.astype(np.float16), ends[:-1]), strict=True):
                known[text] = vectors
                self.cache.put(keys[text], vectors)
        none = np.zeros((0, self.encoder.text_dim), np.float16)
        return [known.get(text, none).astype(np.float32) for text in texts]


def is_compared(text: str) -> bool:
    """Return whether a text is found by its passages, too: it has several, and not as many as a book."""
    return 1 < len(passages.split(text)) <= MOST


def as_compared(text: str, part: Passage) -> str:
    """Return a passage of a text as it is compared with a question: under its heading."""
    return passages.join(text, [part.span, *([part.heading] if part.heading else [])])


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
