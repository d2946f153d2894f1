"""Samples that are left out while a run goes on: named once, and written down for its record."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from camml.errors import CaMMLError, InputError

SKIPPED = "skipped.jsonl"


class Skipped:
    """Takes the reason for each sample that is left out; the workers of all processes of a run share its file.

    Args:
      output: the folder of the run.
    """

    def __init__(self, output: Path) -> None:
        self.file = output / SKIPPED

    def __call__(self, error: InputError) -> None:
        """Name a sample on standard error and in the file, unless it was named before."""
        reason = str(error)
        if reason in self.reasons():
            return
        print(f"camml: skipped: {reason}", file=sys.stderr)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, json.dumps(reason).encode() + b"\n")  # in one piece, whoever else is writing
        finally:
            os.close(handle)

    def reasons(self) -> list[str]:
        """Return all reasons so far, each once."""
        try:
            lines = self.file.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return unique(json.loads(line) for line in lines)

    def move_to(self, reasons: list[str]) -> list[str]:
        """Return `reasons` and those in the file, each once; the file is removed."""
        skipped = unique([*reasons, *self.reasons()])
        self.file.unlink(missing_ok=True)
        return skipped


def unique(reasons: Iterable[str]) -> list[str]:
    """Return each once, in their order."""
    return list(dict.fromkeys(reasons))


def in_one_line(error: CaMMLError) -> CaMMLError:
    """Return an error as it was raised; a worker's arrives with the whole way it came wrapped around it."""
    kind = type(error)
    last = str(error).strip().splitlines()[-1]
    return kind(last.removeprefix(f"{kind.__module__}.{kind.__qualname__}: "))
