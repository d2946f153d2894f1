"""What an encoder is. A file in this folder is an encoder: it defines `load(**options) -> Encoder`."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camml import plugins

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Texts and images to unit vectors.

    Attributes:
      name: the file in this folder, and what a datastore's manifest records.
      revision: changes whenever the same input could give another vector (weights, preprocessing).
      image_dim: D of image vectors.
      text_dim: D of text vectors.
      joint: texts and images share one space, so a text can find an image (then `image_dim == text_dim`).
    """

    name: str
    revision: str
    image_dim: int
    text_dim: int
    joint: bool

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """float32[N, text_dim], each row of length 1."""
        ...

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """float32[N, image_dim], each row of length 1; images are RGB."""
        ...


def load(name: str, **options: Any) -> Encoder:
    """The encoder called `name`; `options` go to its own `load`, such as `model="google/siglip2-base-patch16-224"`.

    Raises:
      UnknownNameError: no such encoder.
    """
    encoder: Encoder = plugins.find("encoders", name).load(**options)
    return encoder
