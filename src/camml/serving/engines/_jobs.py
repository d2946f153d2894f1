"""Requests in the hands of the thread that runs a model: those whose prompt is read, and those that are answered."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from camml.serving.engines import Piece, Prepared
from camml.serving.engines._answer import Answer
from camml.serving.engines._slots import Row


@dataclass(eq=False, slots=True)
class Job:
    """A request in the batch, and where its pieces go."""

    prepared: Prepared
    loop: asyncio.AbstractEventLoop
    arrived: "asyncio.Queue[Piece | BaseException]"
    cancelled: bool = False
    need: int = 0


@dataclass(eq=False, slots=True)
class Reading:
    """A request whose prompt is not read to its end.

    Attributes:
      rows: one for each of its answers; the prompt is read into the first.
      embeds: the prompt float[T, D], once its pictures have been looked at.
      read: tokens of it that are read.
    """

    job: Job
    rows: list[Row]
    embeds: Tensor | None = field(default=None, repr=False)
    read: int = 0

    @property
    def left(self) -> int:
        """Return how many tokens are still to be read."""
        return 0 if self.embeds is None else len(self.embeds) - self.read


@dataclass(eq=False, slots=True)
class Stream:
    """An answer on its way."""

    job: Job
    answer: Answer
    row: Row


def shares(ready: Sequence[Reading], tokens: int, oldest_first: bool) -> list[tuple[Reading, int]]:
    """Return whose prompts are read next, and how much of each.

    Turns go to the shortest rest and to the oldest prompt, so that a long one delays no short one, and is read in the
    end.
    """
    order = list(ready) if oldest_first else sorted(ready, key=lambda reading: reading.left)
    chosen = []
    for reading in order:
        if tokens > 0:
            chosen.append((reading, min(tokens, reading.left)))
            tokens -= chosen[-1][1]
    return chosen


def deliver(items: Sequence[tuple[Job, Piece | BaseException]]) -> None:
    """Hand pieces to those who wait for them; in the thread of their event loop."""
    for job, piece in items:
        job.arrived.put_nowait(piece)
