"""The folder of one run: what was asked for, the answers so far, and in the end the files that people read.

run.json        settings, hashes and versions: what the answers depend on
parts/          answers so far, a file a portion; gone when the run is complete
log.jsonl       a line for each question: samples and scores, prompt, tokens, answer, its score
answers.jsonl   the answers as the official scripts write them
score.json      the score
seconds/        what the answers so far took, a file a portion; gone when the run is complete
measures.json   tokens, seconds, and how often a right sample was retrieved
"""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camml.errors import OptionError, SampleError
from camml.evaluation.files import read_json, read_lines, visible, write_json, write_lines
from camml.evaluation.task import Item

PATIENCE = 3600.0  # seconds without a new portion until the other processes are taken for dead
LOG = "log.jsonl"
_PAUSE = 0.1  # seconds

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Portion:
    """Questions that are retrieved for together, answered in batches, and kept in one file.

    What it holds depends on the questions and the batch size alone, so that neither an interruption nor the number of
    processes changes what is computed together with what.
    """

    number: int
    batches: tuple[tuple[Item, ...], ...]

    @property
    def items(self) -> list[Item]:
        """All its questions."""
        return [item for batch in self.batches for item in batch]


def portions(items: Sequence[Item], batch_size: int, batches: int = 4) -> list[Portion]:
    """Split the items into portions of so many batches, in order."""
    rows = [tuple(items[start : start + batch_size]) for start in range(0, len(items), batch_size)]
    groups = (rows[start : start + batches] for start in range(0, len(rows), batches))
    return [Portion(number, tuple(group)) for number, group in enumerate(groups)]


class RunFolder:
    """The files of one run, each written atomically."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Take the folder for the run of this identity, begun or not; by which code it was begun does not matter.

        Raises:
          OptionError: it holds another run; the message says what differs.
        """
        file = self.path / "run.json"
        mine = json.loads(json.dumps(identity))
        if not file.is_file():
            write_json(file, mine)
            return
        there = read_json(file)
        if isinstance(there, dict):  # each answer has its code, and the score says where they differ
            there["code"] = mine.get("code")
        differing = differences(there, mine)
        if differing:
            raise OptionError(
                f"{self.path} holds another run ({'; '.join(differing[:4])}); give another --out, or remove that folder"
            )

    def part(self, portion: Portion) -> list[Record] | None:
        """Return the records of a portion that was finished, or None."""
        return _records(self._part(portion), [item.id for item in portion.items])

    def keep(self, portion: Portion, records: Sequence[Record]) -> None:
        """Write down a finished portion."""
        write_lines(self._part(portion), records)

    def keep_seconds(self, portion: Portion, seconds: Mapping[str, float]) -> None:
        """Write down what a portion took."""
        write_json(self.path / "seconds" / f"{portion.number:06}.json", seconds)

    def seconds(self) -> list[dict[str, float]]:
        """Return the time that the portions took, as far as it was written down."""
        return [read_json(path) for path in visible((self.path / "seconds").glob("*.json"))]

    def measures(self) -> dict[str, Any] | None:
        """Return the measures of a run that was complete, or None."""
        path = self.path / "measures.json"
        return dict(read_json(path)) if path.is_file() else None

    def log(self, items: Sequence[Item]) -> list[Record] | None:
        """Return the records of all items, if the run was complete."""
        return _records(self.path / LOG, [item.id for item in items])

    def mark(self) -> tuple[int, int] | None:
        """Return what tells the log that is there from one that another run writes; None where there is none."""
        try:
            about = (self.path / LOG).stat()
        except OSError:
            return None
        return about.st_ino, about.st_mtime_ns

    def collect(
        self, parts: Sequence[Portion], *, alone: bool = False, before: tuple[int, int] | None = None
    ) -> list[Record]:
        """Return the records of all portions, in order; wait for those of other processes.

        Where another run in this folder was complete first, and took the portions away, its records are returned.

        Args:
          parts: all portions; the first is one that this process has seen or written.
          alone: there are no other processes.
          before: the `mark` of the log that was there before, of which some questions are asked again.

        Raises:
          OptionError: the others have given nothing for an hour, or portions are gone.
        """
        items = [item for portion in parts for item in portion.items]
        collected: list[Record] = []
        for portion in parts:
            deadline = time.monotonic() + PATIENCE
            while (records := self.part(portion)) is None:
                mine = portion if alone else parts[0]
                gone = alone or not self._part(mine).is_file()  # looked at first: the log is there before they go
                if (alone or self.mark() != before) and (log := self.log(items)) is not None:
                    self._drop_portions()
                    return log
                if gone:
                    raise OptionError(
                        f"portion {mine.number} of {self.path} is gone: another run works there, or somebody removed "
                        "it; start the run again when no other one is going on"
                    )
                if time.monotonic() > deadline:
                    raise OptionError(
                        f"another process has not given portion {portion.number} of {self.path} for an hour; "
                        "start the run again, what is finished is kept"
                    )
                time.sleep(_PAUSE)
            collected += records
        return collected

    def complete(self, records: Sequence[Record], answers: Sequence[Mapping[str, Any]]) -> None:
        """Write the files that people read, and drop those of portions."""
        write_lines(self.path / "answers.jsonl", answers)
        write_lines(self.path / LOG, records)
        self._drop_portions()

    def _drop_portions(self) -> None:
        for portions in ("parts", "seconds"):
            shutil.rmtree(self.path / portions, ignore_errors=True)

    def _part(self, portion: Portion) -> Path:
        return self.path / "parts" / f"{portion.number:06}.jsonl"


def _records(path: Path, ids: Sequence[str]) -> list[Record] | None:
    """Read the records of a file that has one with an answer for each id, in order; return None where it does not."""
    if not path.is_file():
        return None
    try:
        records = [record for _, record in read_lines(path)]
    except SampleError:
        return None
    whole = all(isinstance(record.get("answer"), str) for record in records)
    return records if whole and [record.get("id") for record in records] == list(ids) else None


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """List where two JSON values differ, as texts `name: old and new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        changes = [differences(old.get(key), new.get(key), f"{name}.{key}".lstrip(".")) for key in keys]
        return [line for lines in changes for line in lines]
    return [] if old == new else [f"{name}: {_short(old)} there, {_short(new)} here"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:24] + "..."
