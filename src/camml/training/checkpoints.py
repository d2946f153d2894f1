"""Checkpoints of a run: `checkpoint-N` is whole or not there; what is being written has another name."""

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from camml.durable import disk_errors, sync
from camml.errors import DiskError, OptionError

UNFINISHED = ".unfinished"
ABANDONED = "abandoned-"
"""Before the name of a checkpoint of a branch that the run left, when it went on from an earlier checkpoint."""
STATE = "trainer_state.json"
NEWEST = (None, "", "True", "true")
"""Values of --resume_from_checkpoint that go on from the newest checkpoint there is."""
_NAME = re.compile(r"checkpoint-(\d+)")
_MISFITS = ("size mismatch", "parameter group")
"""Words of PyTorch about tensors of other shapes, and about an optimizer of other parts."""

_logger = logging.getLogger("camml")


def finished(output: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    checkpoints = {int(match[1]): path for path in output.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))}
    return [checkpoints[step] for step in sorted(checkpoints) if (checkpoints[step] / STATE).is_file()]


def to_resume(output: Path, wanted: str | None) -> Path | None:
    """Return the checkpoint that a run goes on from.

    Args:
      wanted: the folder of one, or its name in the folder of the run; "False" to start anew; None or "True" for the
        newest there is, if any.

    Raises:
      OptionError: there is no such checkpoint, or a new start would mix with an old run.
    """
    there = finished(output)
    if wanted in NEWEST:
        return there[-1] if there else None
    if wanted in ("False", "false"):
        if there:
            raise OptionError(
                f"{output} holds checkpoints of an earlier run; choose another --output_dir or remove them"
            )
        return None
    path = next((path for path in (Path(str(wanted)), output / str(wanted)) if (path / STATE).is_file()), None)
    if path is None:
        known = f"; there are: {', '.join(p.name for p in there)}" if there else ""
        raise OptionError(f"--resume_from_checkpoint {wanted}: no finished checkpoint there{known}")
    return path


def state_of(checkpoint: Path) -> tuple[int, int | None, float | None]:
    """Return the step of a checkpoint; the step that had done best until then, if any, and its share of matches.

    Raises:
      OptionError: its record cannot be read.
    """
    file = checkpoint / STATE
    try:
        state: dict[str, Any] = json.loads(file.read_bytes())
        return int(state["global_step"]), state.get("best_global_step"), state.get("best_metric")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OptionError(f"{file} cannot be used ({error!r}); go on from another checkpoint") from error


def left_behind(steps: Iterable[int], output: Path, resume: Path) -> list[int]:
    """Return the steps whose checkpoints are of a branch that a run in `output` leaves when it goes on from `resume`.

    Raises:
      OptionError: `resume` cannot be read.
    """
    start = state_of(resume)[0]
    own = resume.resolve() == (output / f"checkpoint-{start}").resolve()
    return [step for step in steps if step > start or (step == start and not own)]


def abandoned_name(step: int, is_taken: Callable[[str], bool]) -> str:
    """Return a new name for an abandoned checkpoint."""
    names = (f"{ABANDONED}checkpoint-{step}" + (f"-{number}" if number > 1 else "") for number in count(1))
    return next(name for name in names if not is_taken(name))


def abandon_later(output: Path, resume: Path) -> None:
    """Rename the checkpoints of the abandoned branch, which `left_behind` names.

    Their higher step numbers would make those of the new branch the oldest, to be deleted and never resumed from.

    Raises:
      OptionError: `resume` cannot be read.
      DiskError: they cannot be renamed.
    """
    steps = {int(path.name.rpartition("-")[2]): path for path in finished(output)}
    renamed: dict[str, str] = {}
    for step in reversed(left_behind(steps, output, resume)):
        name = abandoned_name(step, lambda name: (output / name).exists())
        with disk_errors(output):
            steps[step].rename(output / name)
        renamed = {steps[step].name: name, **renamed}
    say_abandoned(output, resume, renamed)


def say_abandoned(place: object, resume: Path, renamed: dict[str, str]) -> None:
    """Tell that checkpoints have new names, by their old ones, if there are any."""
    if renamed:
        olds, news = ", ".join(renamed), ", ".join(renamed.values())
        _logger.warning(
            "%s goes on from %s; %s are of another branch now, and renamed to %s: remove them if you need them no more",
            place, resume.name, olds, news,
        )  # fmt: skip


@contextmanager
def fitting(checkpoint: object) -> Iterator[None]:
    """Say in one line where what a checkpoint holds does not fit a run.

    Raises:
      OptionError: a tensor has another shape, or the optimizer has other groups.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        lines = [line.strip(" \t.") for line in str(error).splitlines()]
        reason = next((line for line in lines if any(mark in line for mark in _MISFITS)), None)
        if reason is None:
            raise
        raise OptionError(
            f"{checkpoint} does not fit this run ({reason}); give the flags that it began with, or choose another "
            "--output_dir"
        ) from error


def commit(unfinished: Path, target: Path) -> None:
    """Make what was written to `unfinished` durable, and give it the name `target`.

    Raises:
      DiskError: the disk does not take it.
    """
    try:
        _sync(path for path in sorted(unfinished.rglob("*")) if path.is_file())
        _sync([path for path in unfinished.rglob("*") if path.is_dir()] + [unfinished])
        if target.exists():
            shutil.rmtree(target)
        unfinished.rename(target)
        _sync([target.parent])
    except OSError as error:
        raise DiskError(f"cannot write {target}: {error.strerror or error}") from error


def rotate(output: Path, limit: int | None, best: int | None = None) -> None:
    """Remove the oldest checkpoints above `limit`; each disappears at once, so that none is ever there by half.

    Args:
      best: the step of the one that is kept in any case.
    """
    for path in finished(output)[: -limit if limit else 0]:
        if path.name == f"checkpoint-{best}":
            continue
        doomed = output / UNFINISHED / f"old-{path.name}"
        shutil.rmtree(doomed, ignore_errors=True)
        doomed.parent.mkdir(exist_ok=True)
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _sync(paths: Iterable[Path]) -> None:
    for path in paths:
        sync(path)
