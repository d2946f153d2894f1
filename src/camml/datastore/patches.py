"""Patches of stored pictures, which encoders compare one by one: kept beside a datastore, computed where they lack."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from camml.arrays import ArrayCache
from camml.encoders import Encoder, PatchEncoder, Patches, Vectors, patch_encoder
from camml.errors import DiskError, ImageError
from camml.images import open_image
from camml.types import Sample

FOLDER = "patches"
"""Where in a datastore they are; it may be deleted at any time."""
MAX_BYTES = 16 * 10**9
IN_MEMORY = 1024
"""Pictures whose patches are kept where there is no disk to keep them on."""

_logger = logging.getLogger("camml")


class PatchStore:
    """The patches of pictures by their vectors, so that a picture's stay those of when it was indexed.

    Args:
      folder: of the datastore; None keeps them in memory.
      encoder: what computes them.
    """

    def __init__(self, folder: Path | None, encoder: PatchEncoder) -> None:
        self.encoder = encoder
        self._memory: dict[str, Patches] = {}
        self._cache: ArrayCache | None = None
        if folder is not None:
            name = hashlib.sha256(f"{encoder.name} {encoder.revision} {encoder.patches}".encode()).hexdigest()[:16]
            self._cache = ArrayCache(folder / FOLDER / name, folder / FOLDER, MAX_BYTES)

    def get(self, samples: Mapping[str, Sample], vectors: Mapping[str, Vectors]) -> dict[str, Patches]:
        """Return the patches of samples by id; nothing of one whose picture is gone and was never looked at.

        Args:
          vectors: float32[D], those of the pictures, by id.
        """
        known = {name: self._known(vector) for name, vector in vectors.items()}
        if self._cache is not None and any(patches is None for patches in known.values()):
            self._cache.refresh()  # another process, or one that adds samples, may have computed them
            known = {name: self._known(vector) for name, vector in vectors.items()}
        opened = {}
        for name in [name for name, patches in known.items() if patches is None]:
            image = samples[name].image
            try:
                if image is not None:
                    opened[name] = open_image(image)
            except ImageError as error:
                _logger.debug("sample %r: %s", name, error)
        if opened:
            _, computed = self.encoder.embed_with_patches(list(opened.values()))
            self.put([vectors[name] for name in opened], computed)
            known |= dict(zip(opened, computed, strict=True))
        return {name: patches for name, patches in known.items() if patches is not None}

    def put(self, vectors: Sequence[Vectors] | Vectors, patches: Sequence[Patches]) -> None:
        """Keep the patches of pictures with these vectors; where the disk cannot take them, in memory."""
        for vector, its in zip(vectors, patches, strict=True):
            try:
                if self._cache is not None:
                    self._cache.folder.mkdir(parents=True, exist_ok=True)
                    self._cache.put(_key(vector), its.view(np.float16))  # an array of any numbers of 16 bits
                    continue
            except (DiskError, OSError) as error:  # searching needs no cache
                _logger.warning("%s: patches of pictures are kept in memory alone", error)
                self._cache = None
            self._memory[_key(vector)] = its
            while len(self._memory) > IN_MEMORY:
                self._memory.pop(next(iter(self._memory)))

    def _known(self, vector: Vectors) -> Patches | None:
        key = _key(vector)
        cached = None if self._cache is None else self._cache.get(key)
        return self._memory.get(key) if cached is None else cached.view(np.int8)


def patch_store(folder: Path | None, encoder: Encoder) -> PatchStore | None:
    """Return where the patches of a datastore's pictures are; None if its encoder compares none."""
    able = patch_encoder(encoder)
    return None if able is None else PatchStore(folder, able)


def _key(vector: Vectors) -> str:
    """Return what tells a picture from others; half precision, as a vector store may round."""
    return hashlib.sha256(vector.astype(np.float16).tobytes()).hexdigest()
