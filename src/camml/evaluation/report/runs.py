"""The finished runs in folders, as a report shows them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camml.errors import OptionError, SampleError
from camml.evaluation.contexts import Variant
from camml.evaluation.files import listed, read_json, read_lines
from camml.evaluation.folder import Record
from camml.evaluation.report.published import Measure


@dataclass(frozen=True, slots=True)
class Figure:
    """A number in the points of papers, with its 95 % interval where it is known."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One task answered by one system.

    Attributes:
      folder: as `camml eval run` left it.
      identity: its `run.json`.
      score: its `score.json`; None where there is none.
      system: model and kind of context in words, the same for all tasks; unlike that of any other system.
      place: the name of its folder in the report.
    """

    folder: Path
    identity: Mapping[str, Any]
    score: Mapping[str, Any] | None
    system: str = ""
    place: str = ""

    @property
    def task(self) -> str:
        """The name of the task."""
        return str(self.identity["task"])

    @property
    def questions(self) -> int:
        """The number of questions asked."""
        return int(self.identity["questions"]["number"])

    @property
    def subset(self) -> bool:
        """Return whether only some of the questions were asked."""
        return self.identity.get("limit") is not None

    @property
    def drawn(self) -> bool:
        """Return whether these were drawn from all pictures or classes alike (`--spread`)."""
        return self.subset and bool(self.identity.get("spread"))

    def records(self) -> Iterator[Record]:
        """Read the lines of its log.

        Raises:
          SampleError: one cannot be read, or lacks what a line has.
        """
        path = self.folder / "log.jsonl"
        for number, record in read_lines(path):
            if not isinstance(record.get("id"), str) or not isinstance(record.get("answer"), str):
                raise SampleError(f"{path}, line {number} has no id or no answer; run `camml eval run` again")
            yield record

    def figure(self, measure: Measure) -> Figure | None:
        """Return one of its numbers, or None where it has no such number."""
        value: Any = (self.score or {}).get("values")
        for part in measure.name.split("/"):
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, int | float):
            return None
        reach = (self.score or {}).get("interval") if measure.headline else None
        ends = (reach["low"] * measure.points, reach["high"] * measure.points) if reach else (None, None)
        return Figure(value * measure.points, *ends)


def find_runs(paths: Sequence[Path]) -> tuple[list[Run], list[Path]]:
    """Find the finished runs in and below the folders, in order, each once; and the folders of unfinished ones.

    Raises:
      SampleError: a folder that holds no run, or no finished run in any.
    """
    folders: list[Path] = []
    for path in paths:
        runs = sorted(file.parent for file in path.rglob("run.json") if _is_identity(read_json(file)))
        if not runs:
            raise SampleError(f"{path} holds no run; give a folder that `camml eval run` wrote, or one above it")
        folders += runs
    different = {folder.resolve(): folder for folder in folders}.values()
    unfinished = [folder for folder in different if not (folder / "log.jsonl").is_file()]
    finished = [_read(folder) for folder in different if folder not in unfinished]
    if not finished:
        raise SampleError(f"{listed(map(str, unfinished))}: not finished; `camml eval run` goes on where it stopped")
    return _placed(_named(finished)), unfinished


def _is_identity(value: Any) -> bool:
    questions = value.get("questions") if isinstance(value, dict) else None
    return isinstance(questions, dict) and "number" in questions and {"task", "context", "shots"} <= value.keys()


def _read(folder: Path) -> Run:
    file = folder / "score.json"
    score = read_json(file) if file.is_file() else None
    if score is not None and not (isinstance(score, dict) and isinstance(score.get("values"), dict)):
        raise SampleError(f"{file} is not a score; remove it and run `camml eval run` again")
    return Run(folder, read_json(folder / "run.json"), score)


def _named(runs: Sequence[Run]) -> list[Run]:
    """Name the systems of the runs; names that would be equal get what differs, or else a number."""
    taken: dict[str, tuple[str, set[str]]] = {}
    named = []
    for run in runs:
        facts = str(_system_facts(run))
        plain, number = _system_name(run), 1
        name = plain
        while name in taken and (taken[name][0] != facts or run.task in taken[name][1]):
            number += 1
            name = f"{plain} ({number})"
        taken.setdefault(name, (facts, set()))[1].add(run.task)
        named.append(replace(run, system=name))
    return named


def _system_name(run: Run) -> str:
    model = (run.identity.get("model") or {}).get("name") or "no model"
    try:
        variant = Variant(run.identity["context"], int(run.identity["shots"]))
    except (OptionError, TypeError, ValueError):
        named = run.identity["context"]
        raise SampleError(f"{run.folder / 'run.json'}: no kind of context is called {named!r}") from None
    words = {"none": "no context", "copy": "nearest answer copied"}.get(variant.context, variant.name)
    return f"{model} · {words.replace('_', ' ')}"


def _system_facts(run: Run) -> list[Any]:
    """Return what makes two runs those of one system, whatever the task."""
    decoding = {key: value for key, value in (run.identity.get("decoding") or {}).items() if key != "max_new_tokens"}
    same = ("context", "shots", "model", "store", "seed")
    return [decoding, *(run.identity.get(key) for key in same)]


def _placed(runs: Sequence[Run]) -> list[Run]:
    """Give each run a folder name that is safe on any system."""
    taken: set[str] = set()
    placed = []
    for run in runs:
        plain = re.sub(r"[^a-z0-9]+", "-", f"{run.task} {run.system}".lower()).strip("-")[:80] or "run"
        place, number = plain, 1
        while place in taken:
            number += 1
            place = f"{plain}-{number}"
        taken.add(place)
        placed.append(replace(run, place=place))
    return placed
