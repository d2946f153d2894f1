"""Features of pictures: computed for several requests together, and kept by what is in the picture."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

MOST_BYTES = 256 * 10**6
"""Of features that are kept for the next questions about the same pictures."""
PIXELS, FEATURES = "pixel_values", "image_features"
"""How names of inputs end that hold pictures, or what the tower made of them."""


class Inputs(dict[str, Tensor]):
    """The tensors of a prompt, with the names of its pictures and, one after the other, their features.

    Attributes:
      names: of the pictures in each input that holds some, by their content.
    """

    names: Mapping[str, Sequence[str]]
    features: dict[str, Tensor]

    @classmethod
    def of(cls, inputs: Mapping[str, Tensor]) -> Self:
        """Return the inputs with the names of their pictures."""
        made = cls(inputs)
        made.names = {key: [name_of(row) for row in inputs[key]] for key in inputs if key.endswith(PIXELS)}
        made.features = {}
        return made

    @property
    def pictures(self) -> dict[str, Tensor]:
        """Return the pixels of all pictures by their names."""
        return {name: row for key, names in self.names.items() for name, row in zip(names, self[key], strict=True)}

    @property
    def seen(self) -> bool:
        """Return whether all features are there."""
        return all(name in self.features for names in self.names.values() for name in names)

    def with_features(self) -> dict[str, Tensor]:
        """Return the inputs with features in place of pixels."""
        inputs = dict(self)
        for key, names in self.names.items():
            del inputs[key]
            inputs[key.removesuffix(PIXELS) + FEATURES] = torch.stack([self.features[name] for name in names])
        return inputs


class Pictures:
    """Features float[Lv, W] of pictures by their names; those that were not asked for longest are forgotten.

    Attributes:
      hits, misses: pictures that were at hand, and those that the tower was shown.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.hits = self.misses = 0
        self._most = most_bytes
        self._cache: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0

    def look(self, requests: Sequence[Inputs], most: int, tower: Callable[[Tensor], Tensor]) -> None:
        """Give requests the features of their pictures: all that are kept, and `most` that are not."""
        new: dict[str, Tensor] = {}
        for inputs in requests:
            for name, pixels in inputs.pictures.items():
                if name in inputs.features:
                    continue
                if name in self._cache:
                    self.hits += 1
                    self._cache.move_to_end(name)
                    inputs.features[name] = self._cache[name]
                elif name in new or len(new) < most:
                    new[name] = pixels
        if not new:
            return
        self.misses += len(new)
        made = dict(zip(new, tower(torch.stack(list(new.values()))).unbind(), strict=True))
        for name, features in made.items():
            self._keep(name, features.clone())  # not a view that keeps all the others
        for inputs in requests:
            inputs.features.update({name: made[name] for name in inputs.pictures if name in made})

    def _keep(self, name: str, features: Tensor) -> None:
        self._cache[name] = features
        self._bytes += features.nbytes
        while self._bytes > self._most:
            self._bytes -= self._cache.popitem(last=False)[1].nbytes


def name_of(pixels: Tensor) -> str:
    """Return the SHA-256 of a picture as the tower would see it."""
    return hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest()
