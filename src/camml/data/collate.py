"""Examples to a batch of tensors."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from camml.data.examples import Example
from camml.errors import ImageError, InputError, SampleError
from camml.model import CamMLProcessor
from camml.model.llava_processor import FeaturesOf
from camml.model.modeling import IGNORED


class Collator:
    """Pads examples on the right, opens their images, and stacks their samples; runs in the workers of a loader.

    Args:
      features_of: where the tower's features of all images are; none is opened then.
      lessons: gives what a teacher says about the learned tokens of a batch, as `teacher_tokens` and `teacher_scores`.
      skipped: called with the reason where an image cannot be used; its row is left out of the batch. Without it, such
        an image is an error.
    """

    def __init__(
        self,
        processor: CamMLProcessor,
        features_of: FeaturesOf | None = None,
        skipped: Callable[[InputError], None] | None = None,
        lessons: Callable[[Sequence[Example]], tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        self.lessons = lessons
        self.processor = processor
        self.features_of = features_of
        self.skipped = skipped

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Return the inputs of the model for B rows, as `CamMLProcessor` gives them, and `labels` int64[B, T].

        Raises:
          SampleError: no row has anything to learn.
          ImageError: an image cannot be used, or with `skipped` one of each row.
        """
        try:
            return self._stacked(examples)
        except ImageError:
            usable = [example for example in examples if self._usable(example)] if self.skipped else []
            if not usable:
                raise
            return self._stacked(usable)

    def _usable(self, example: Example) -> bool:
        """Return whether the images of an example can be used; if not, the reason is handed on."""
        assert self.skipped is not None
        try:
            self._stacked([example])
        except ImageError as error:
            self.skipped(SampleError(f"sample {example.id!r}: {error}"))
            return False
        return True

    def _stacked(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        rows = [
            example.row or {"input_ids": example.input_ids, "images": [example.image] if example.image else []}
            for example in examples
        ]
        batch = self.processor.join(rows, "right", self.features_of)
        labels = torch.full_like(batch["input_ids"], IGNORED)
        for row, example in enumerate(examples):
            labels[row, : len(example.labels)] = torch.tensor(example.labels)
        if not (labels[:, 1:] != IGNORED).any():
            names = ", ".join(repr(example.id) for example in examples)
            raise SampleError(f"a batch trains on nothing (samples {names})")
        batch["labels"] = labels
        if any(example.samples for example in examples):
            batch |= self.processor.sample_inputs([example.samples for example in examples], self.features_of)
        if self.lessons is not None:
            batch["teacher_tokens"], batch["teacher_scores"] = self.lessons(examples)
        return batch
