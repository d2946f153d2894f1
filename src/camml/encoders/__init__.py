"""What an encoder is. A file in this folder is an encoder: it defines `load(**options) -> Encoder`."""

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camml import plugins
from camml.errors import OptionError

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Texts and images to unit vectors.

    Attributes:
      name: the file in this folder, and what a datastore's manifest records.
      revision: changes whenever the same input could give another vector (weights, preprocessing).
      image_dim: D of image vectors.
      text_dim: D of text vectors.
      joint: a text can find an image: by its own vector where both have one space (`image_dim == text_dim`), else by
        the one that `embed_texts_as_images` gives for it.
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


def embed_texts_as_images(encoder: Encoder, texts: Sequence[str]) -> Vectors:
    """Return float32[N, image_dim], each row of length 1: vectors of texts to compare with those of images.

    Args:
      encoder: a joint one. Where texts find images and texts by different vectors it has a method of this name.
    """
    embed: Callable[[Sequence[str]], Vectors] = getattr(encoder, "embed_texts_as_images", encoder.embed_texts)
    return embed(texts)


def load(name: str, **options: Any) -> Encoder:
    """The encoder called `name`; `options` go to its own `load`, such as `model="google/siglip2-base-patch16-224"`.

    Raises:
      UnknownNameError: no such encoder.
      OptionError: it has no such option, or the option takes another kind of value.
    """
    make = plugins.find("encoders", name).load
    known = signature(make).parameters
    for key, value in options.items():
        if key not in known:
            choices = ", ".join(known)
            raise OptionError(f"the encoder {name!r} has no option {key!r}; it has: {choices}")
        kind = known[key].annotation
        if not isinstance(value, kind):
            raise OptionError(f"the option {key!r} of {name!r} takes {getattr(kind, '__name__', kind)}, not {value!r}")
    encoder: Encoder = make(**options)
    return encoder
