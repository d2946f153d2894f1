"""The order in which rows are trained on."""

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from camml.data.examples import Key


class GroupedSampler(Sampler[Key]):
    """The rows of an epoch in a random order that is the same for every process and for every run with that seed.

    Args:
      lengths: of each row, in any unit.
      with_image: whether each row has one.
      batch_size: rows of one optimizer step on all processes.
      seed: of the order.
      group: let a step have rows of one modality and like length.

    Source: LLaVA (Liu et al., 2023) trains on groups of one modality; that they are shuffled by steps is the same here.
    """

    def __init__(
        self, lengths: Sequence[int], with_image: Sequence[bool], batch_size: int, seed: int, *, group: bool
    ) -> None:
        self.lengths = lengths
        self.with_image = with_image
        self.batch_size = batch_size
        self.seed = seed
        self.group = group
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Key]:
        epoch = self.epoch
        order = self._grouped(random.Random(f"{self.seed} {epoch}"))
        return ((epoch, row) for row in order)

    def _grouped(self, chance: random.Random) -> list[int]:
        rows = list(range(len(self.lengths)))
        chance.shuffle(rows)
        if not self.group:
            return rows
        steps: list[list[int]] = []
        rest: list[int] = []
        for image in (True, False):
            chosen = [row for row in rows if self.with_image[row] is image]
            window = self.batch_size * 50  # long enough to find rows of like length, short enough to stay random
            for start in range(0, len(chosen), window):
                part = sorted(chosen[start : start + window], key=lambda row: -self.lengths[row])
                whole = len(part) // self.batch_size * self.batch_size
                steps += [part[at : at + self.batch_size] for at in range(0, whole, self.batch_size)]
                rest += part[whole:]
        chance.shuffle(steps)
        return [row for step in steps for row in step] + rest
