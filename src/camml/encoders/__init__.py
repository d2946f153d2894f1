"""The interface of encoders. A file in this folder is an encoder: it defines `load(**options) -> Encoder`."""

from collections.abc import Sequence
from inspect import signature
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camml import plugins
from camml.errors import OptionError

Vectors = NDArray[np.float32]
Patches = NDArray[np.int8]
"""Vectors of parts of an image, int8[1 + P, W], each up to its length: that of the whole, then those of P patches."""


class Encoder(Protocol):
    """Texts and images to unit vectors.

    Attributes:
      name: the file in this folder, and what a datastore's manifest records.
      revision: changes whenever the same input could give another vector (weights, preprocessing).
      image_dim: D of image vectors.
      text_dim: D of text vectors.
      joint: a text can find an image: both share one space, or the encoder has a method `among_images` too, which
        moves float32[N, text_dim] of texts to where those of images are, float32[N, image_dim].

    Example:
      >>> encoder: Encoder = load("hashed")
      >>> encoder.embed_texts(["a red pump", "a lamp"]).shape == (2, encoder.text_dim)
      True
    """

    name: str
    revision: str
    image_dim: int
    text_dim: int
    joint: bool

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Return float32[N, text_dim], each row of length 1."""
        ...

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return float32[N, image_dim] for RGB images, each row of length 1."""
        ...


class PatchEncoder(Encoder, Protocol):
    """An encoder that can compare two images patch by patch, too, which puts those that look most alike into order.

    Attributes:
      patches: of each image that are compared; 0 compares none.
    """

    patches: int

    def embed_with_patches(self, images: Sequence[Image.Image]) -> tuple[Vectors, Sequence[Patches]]:
        """Return what `embed_images` does, and the patches of each image."""
        ...

    def likeness(self, asked: Vectors, patches: Patches, stored: Vectors, others: Sequence[Patches]) -> Vectors:
        """Return float32[K], -1 to 1: how much each of K stored images looks like a question's image.

        Args:
          asked: float32[D], the vector of the question's image as it is compared (`balanced`).
          patches: those of the question's image.
          stored: float32[K, D].
          others: the patches of the K stored images.
        """
        ...


def patch_encoder(encoder: Encoder) -> PatchEncoder | None:
    """Return an encoder as one that compares patches; None if it does not, or was told not to.

    Example:
      >>> patch_encoder(load("hashed")) is None
      True
    """
    return cast(PatchEncoder, encoder) if getattr(encoder, "patches", 0) else None


def passage_share(encoder: Encoder) -> float:
    """Return what the passage of a text that is nearest to a question counts beside the whole text, from 0 to 1.

    Example:
      >>> passage_share(load("hashed"))
      0.0
    """
    return float(getattr(encoder, "passage_share", 0.0))


def among_images(encoder: Encoder, texts: Vectors) -> Vectors:
    """Return vectors of texts, float32[N, text_dim], where they compare with those of images: float32[N, image_dim].

    Example:
      >>> encoder = load("hashed", joint=True)
      >>> among_images(encoder, encoder.embed_texts(["a pump"])).shape == (1, encoder.image_dim)
      True
    """
    move = getattr(encoder, "among_images", None)
    return texts if move is None else cast(Vectors, move(texts))


def balanced(encoder: Encoder, images: Vectors, background: Vectors) -> Vectors:
    """Return the vectors of query images, float32[N, image_dim], as they are compared with stored ones.

    An encoder whose vectors have several parts may let each part count by how much it tells apart in this datastore.

    Args:
      background: float32[M, image_dim], some stored vectors that stand for all.

    Example:
      >>> encoder = load("hashed")
      >>> vectors = encoder.embed_images([Image.new("RGB", (40, 40))])
      >>> balanced(encoder, vectors, background=vectors) is vectors  # of one part alone
      True
    """
    balance = getattr(encoder, "balance", None)
    return images if balance is None else cast(Vectors, balance(images, background))


def load(name: str, **options: Any) -> Encoder:
    """Load the encoder called `name`; `options` go to its own `load`: `model="google/siglip2-base-patch16-224"`.

    Raises:
      UnknownNameError: no such encoder.
      OptionError: it has no such option, or the option takes another kind of value.

    Example:
      >>> load("hashed", joint=True).joint
      True
    """
    make = plugins.find("encoders", name).load
    known = signature(make).parameters
    for key, value in options.items():
        if key not in known:
            choices = ", ".join(known)
            raise OptionError(f"the encoder {name!r} has no option {key!r}; it has: {choices}")
        kind = known[key].annotation
        whole = kind is float and isinstance(value, int) and not isinstance(value, bool)  # 0 is as good as 0.0
        if not whole and not isinstance(value, kind):
            raise OptionError(f"the option {key!r} of {name!r} takes {getattr(kind, '__name__', kind)}, not {value!r}")
    encoder: Encoder = make(**options)
    return encoder
