"""Patches of stored pictures, which encoders compare one by one: kept beside a datastore, computed where they lack."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from camml.datastore.cached import CachedArrays
from camml.datastore.picture_files import PictureFile
from camml.encoders import Encoder, PatchEncoder, Patches, Vectors, patch_encoder
from camml.errors import ImageError
from camml.images import open_image
from camml.types import Sample

FOLDER = "patches"
"""Where in a datastore they are; it may be deleted at any time."""

_logger = logging.getLogger("camml")


class PatchStore:
    """The patches of pictures by their vectors, so that a picture's stay those of when it was indexed.

    Args:
      folder: of the datastore; None keeps them in memory.
      encoder: what computes them.
    """

    def __init__(self, folder: Path | None, encoder: PatchEncoder) -> None:
        self.encoder = encoder
        self.cache = CachedArrays(folder, FOLDER, f"{encoder.name} {encoder.revision} {encoder.patches}")

    def get(
        self,
        samples: Mapping[str, Sample],
        vectors: Mapping[str, Vectors],
        files: Mapping[str, PictureFile | None],
    ) -> dict[str, Patches]:
        """Return the patches of samples by id; nothing of one never looked at whose picture is gone or replaced.

        Args:
          vectors: float32[D], those of the pictures, by id.
          files: of the pictures when their vectors were made, by id; None where that is not known.
        """
        keys = {name: _key(vector) for name, vector in vectors.items()}
        cached = self.cache.get(keys.values())
        known = {name: cached[key].view(np.int8) for name, key in keys.items() if key in cached}
        opened = {}
        for name in [name for name in vectors if name not in known]:
            image, file = samples[name].image, files[name]
            try:
                if image is not None and (file is None or file.is_still(image)):
                    opened[name] = open_image(image)
            except (ImageError, OSError) as error:
                _logger.debug("sample %r: %s", name, error)
        if opened:
            _, computed = self.encoder.embed_with_patches(list(opened.values()))
            self.put([vectors[name] for name in opened], computed)
            known |= dict(zip(opened, computed, strict=True))
        return known

    def put(self, vectors: Sequence[Vectors] | Vectors, patches: Sequence[Patches]) -> None:
        """Keep the patches of pictures with these vectors; where the disk cannot take them, in memory."""
        for vector, its in zip(vectors, patches, strict=True):
            self.cache.put(_key(vector), its.view(np.float16))  # an array of any numbers of 16 bits


def patch_store(folder: Path | None, encoder: Encoder) -> PatchStore | None:
    """Return where the patches of a datastore's pictures are; None if its encoder compares none."""
    able = patch_encoder(encoder)
    return None if able is None else PatchStore(folder, able)


def _key(vector: Vectors) -> str:
    """Return what tells a picture from others; half precision, as a vector store may round."""
    return hashlib.sha256(vector.astype(np.float16).tobytes()).hexdigest()
