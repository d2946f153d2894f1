"""Several processes that share one run, as torchrun starts them; they meet in the files of the run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from camml.errors import OptionError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share:
    """The part of the work of one process.

    Attributes:
      rank, world: the number of this process, and how many there are.
      local: its number on this machine, which is also that of its GPU.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> "Share":
        """Return the share that torchrun (or whoever set RANK and WORLD_SIZE) gave this process.

        Raises:
          OptionError: the variables make no sense.
        """
        given = {name: environment.get(name, default) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"))}
        given["LOCAL_RANK"] = environment.get("LOCAL_RANK", given["RANK"])
        if not all(value.isdigit() for value in given.values()) or int(given["RANK"]) >= int(given["WORLD_SIZE"]):
            listed = ", ".join(f"{name}={value}" for name, value in given.items())
            raise OptionError(f"{listed} make no sense; start the processes with torchrun, or unset these variables")
        return cls(int(given["RANK"]), int(given["WORLD_SIZE"]), int(given["LOCAL_RANK"]))

    @property
    def leads(self) -> bool:
        """True for the process that puts the shares together and reports."""
        return self.rank == 0

    def of(self, work: Sequence[T]) -> Sequence[T]:
        """Return this process's part of the work."""
        return work[self.rank :: self.world]

    def device(self, name: str | None) -> str | None:
        """Return the device called `name`; without a name, each of several processes gets its own GPU."""
        if name is not None or self.world == 1:
            return name
        import torch

        return f"cuda:{self.local % torch.cuda.device_count()}" if torch.cuda.is_available() else None
