"""Checkpoints of a run: `checkpoint-N` is whole or not there; what is being written has another name."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from camml.durable import sync
from camml.errors import DiskError, OptionError

UNFINISHED = ".unfinished"
_NAME = re.compile(r"checkpoint-(\d+)")


def finished(output: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    checkpoints = {int(match[1]): path for path in output.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))}
    return [checkpoints[step] for step in sorted(checkpoints) if (checkpoints[step] / "trainer_state.json").is_file()]


def to_resume(output: Path, wanted: str | None) -> Path | None:
    """Return the checkpoint that a run goes on from.

    Args:
      wanted: the folder of one; "False" to start anew; None or "True" for the newest there is, if any.

    Raises:
      OptionError: there is no such checkpoint, or a new start would mix with an old run.
    """
    there = finished(output)
    if wanted in (None, "", "True", "true"):
        return there[-1] if there else None
    if wanted in ("False", "false"):
        if there:
            raise OptionError(
                f"{output} holds checkpoints of an earlier run; choose another --output_dir or remove them"
            )
        return None
    path = Path(str(wanted))
    if not (path / "trainer_state.json").is_file():
        known = f"; there are: {', '.join(p.name for p in there)}" if there else ""
        raise OptionError(f"--resume_from_checkpoint {wanted}: no finished checkpoint there{known}")
    return path


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


def publish(unfinished: Path, output: Path) -> None:
    """Move the files of a finished model into the folder of the run, `config.json` last: it makes a model folder."""
    files = [path for path in unfinished.rglob("*") if path.is_file()]
    _sync(files)
    for path in sorted(files, key=lambda path: path.name in ("config.json", "adapter_config.json")):
        place = output / path.relative_to(unfinished)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    _sync([output])
    shutil.rmtree(unfinished, ignore_errors=True)


def _sync(paths: Iterable[Path]) -> None:
    for path in paths:
        sync(path)
