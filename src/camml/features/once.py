"""The features of the images of one batch, each image computed once however often it stands there."""

from collections.abc import Hashable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from camml.images import ImageSource
from camml.model import CamMLForConditionalGeneration, CamMLProcessor

BATCH = 64  # images that go through the tower together


class DeduplicatedFeatures:
    """The tower's features of N images, float[N, Lv, W], each distinct one computed once; zeros where there is none.

    They are kept for one batch alone.
    """

    def __init__(self, model: CamMLForConditionalGeneration, processor: CamMLProcessor) -> None:
        self.model = model
        self.processor = processor
        self._known: dict[Hashable, Tensor] = {}

    def __call__(self, images: Sequence[ImageSource | None]) -> Tensor:
        """Compute features as a `FeaturesOf` does.

        Raises:
          ImageError: an image cannot be used.
        """
        new = {name_of(image): image for image in images if image is not None and name_of(image) not in self._known}
        names = list(new)
        for start in range(0, len(names), BATCH):
            part = names[start : start + BATCH]
            pixels = self.processor.pixels([new[name] for name in part])
            with torch.inference_mode():
                self._known |= zip(part, self.model.vlm.tower_features(pixels.to(self.model.device)), strict=True)
        some = next(iter(self._known.values()))
        blank = torch.zeros_like(some)
        return torch.stack([blank if image is None else self._known[name_of(image)] for image in images])


def name_of(image: ImageSource) -> Hashable:
    """Return what tells an image from others in one batch: images in memory by which object they are."""
    return image if isinstance(image, Path | str | bytes) else id(image)
