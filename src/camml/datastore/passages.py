"""Vectors of the passages of texts, kept beside a datastore and computed where they lack."""

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np

from camml import passages
from camml.arrays import Array, ArrayCache
from camml.encoders import Encoder, Vectors
from camml.errors import DiskError
from camml.passages import Passage

FOLDER = "passages"
"""Folder of a datastore that holds them; it may be deleted at any time."""
MAX_BYTES = 16 * 10**9
IN_MEMORY = 1024
"""Texts whose vectors are kept where there is no disk to keep them on."""
MOST = 512
"""Passages of a text that is found by them, at most: those of a book would take minutes to embed."""
VERSION = 3
"""Version of how texts are split; another number makes the vectors that are kept invalid."""

_logger = logging.getLogger("camml")


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
        self._memory: OrderedDict[str, Array] = OrderedDict()
        self._lock = Lock()
        self._cache: ArrayCache | None = None
        if folder is not None:
            about = [encoder.name, encoder.revision, VERSION]
            name = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
            self._cache = ArrayCache(folder / FOLDER / name, folder / FOLDER, MAX_BYTES)

    def of(self, texts: Sequence[str]) -> list[Vectors]:
        """Return float32[P, D] for each text: the vectors of its P passages, as `passages.split` gives them."""
        parts = {text: passages.split(text) for text in texts}
        known = {text: self._known(text, len(its)) for text, its in parts.items()}
        lacking = [text for text, vectors in known.items() if vectors is None]
        if lacking and self._cache is not None:
            self._cache.refresh()  # another process may have computed them
            known |= {text: self._known(text, len(parts[text])) for text in lacking}
            lacking = [text for text in lacking if known[text] is None]
        if lacking:
            made = self.encoder.embed_texts([as_compared(text, part) for text in lacking for part in parts[text]])
            ends = np.cumsum([len(parts[text]) for text in lacking])
            for text, vectors in zip(lacking, np.split(made.astype(np.float16), ends[:-1]), strict=True):
                known[text] = vectors
                self._keep(_key(text), vectors)
        return [known[text].astype(np.float32) for text in texts]  # type: ignore[union-attr]

    def _known(self, text: str, count: int) -> Array | None:
        if not count:
            return np.zeros((0, self.encoder.text_dim), np.float16)
        cached = None if self._cache is None else self._cache.get(_key(text))
        if cached is None:
            cached = self._memory.get(_key(text))
        return cached if cached is not None and len(cached) == count else None

    def _keep(self, key: str, vectors: Array) -> None:
        """Keep the vectors of a text; where the disk cannot take them, in memory."""
        try:
            if self._cache is not None:
                self._cache.folder.mkdir(parents=True, exist_ok=True)
                self._cache.put(key, vectors)
                return
        except (DiskError, OSError) as error:  # neither a search nor an answer needs a cache
            _logger.warning("%s: vectors of passages are kept in memory alone", error)
            self._cache = None
        with self._lock:
            self._memory[key] = vectors
            while len(self._memory) > IN_MEMORY:
                self._memory.popitem(last=False)


def is_compared(text: str) -> bool:
    """Return whether a text is found by its passages, too: it has several, and not as many as a book."""
    return 1 < len(passages.split(text)) <= MOST


def as_compared(text: str, part: Passage) -> str:
    """Return a passage of a text as it is compared with a question: under its heading."""
    return passages.join(text, [part.span, *([part.heading] if part.heading else [])])


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
