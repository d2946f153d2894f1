"""Examples to a batch of tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from camml.data.examples import IGNORED, Example
from camml.errors import SampleError
from camml.model import CamMLProcessor


class Collator:
    """Pads examples on the right, opens their images, and stacks their samples; runs in the workers of a loader."""

    def __init__(self, processor: CamMLProcessor) -> None:
        self.processor = processor

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """The inputs of the model for B rows, as `CamMLProcessor` gives them, and `labels` int64[B, T].

        Raises:
          SampleError: no row has anything to learn.
          ImageError: an image cannot be used.
        """
        batch = self.processor.pad([example.input_ids for example in examples], "right")
        labels = torch.full_like(batch["input_ids"], IGNORED)
        for row, example in enumerate(examples):
            labels[row, : len(example.labels)] = torch.tensor(example.labels)
        if not (labels[:, 1:] != IGNORED).any():
            names = ", ".join(repr(example.id) for example in examples)
            raise SampleError(f"a batch trains on nothing (samples {names})")
        batch["labels"] = labels
        pixels = self.processor.pixels([example.image for example in examples])
        if pixels is not None:
            batch["pixel_values"] = pixels
        if any(example.samples for example in examples):
            batch |= self.processor.sample_inputs([example.samples for example in examples])
        return batch
