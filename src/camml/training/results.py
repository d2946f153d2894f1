"""The finished model in the folder of a run: whether there is one, and how a new one takes its place."""

import json
import re
import shutil
from collections.abc import Iterable, Set
from pathlib import Path
from typing import TYPE_CHECKING

from camml.durable import disk_errors, sync
from camml.errors import OptionError
from camml.model import lora, packed
from camml.model.folder import ADDED_FILE, PACKED
from camml.model.retrieval_settings import FILE as RETRIEVAL
from camml.model.saved_processor import FILE as PROCESSOR
from camml.model.saved_processor import INNER
from camml.training import checkpoints

if TYPE_CHECKING:
    from camml.training.arguments import Settings

RUN = "run.json"
"""The record of a run."""

KINDS = {PACKED: "packed model", lora.ADAPTER: "adapter (LoRA)", "config.json": "model"}
"""Files that make a folder one of a model, in the order in which a loader looks for them, and what they make it."""

FILES = (*KINDS, lora.BASE, ADDED_FILE, packed.LORA, RETRIEVAL, PROCESSOR, "generation_config.json")
WEIGHTS = re.compile(r"(adapter_|pytorch_)?model(-\d+-of-\d+)?\.(safetensors|bin)(\.index\.json)?")


def is_of_model(name: str) -> bool:
    """Return whether a file belongs to the model in the folder of a run.

    Args:
      name: its path in the folder, with slashes.
    """
    return name in FILES or WEIGHTS.fullmatch(name) is not None or name.startswith(f"{INNER}/")


def check_place(settings: "Settings") -> None:
    """Raise if the result of a run would replace a model that is none of its own.

    Raises:
      OptionError: `--output_dir` holds a finished model and no checkpoint to go on from, and it is not to be replaced;
        or the run starts from what is in it.
    """
    run, model = settings.run, settings.model
    place = settings.output.expanduser().resolve()
    for name in ("model_name_or_path", "vision_tower", "pretrain_lora"):
        start = getattr(model, name)
        if run.output_dir and start and Path(start).expanduser().resolve() == place:
            raise OptionError(
                f"--output_dir {run.output_dir} is the folder of --{name}, which the run starts from; give another"
            )
    if run.output_dir and not run.remote and not checkpoints.finished(settings.output):
        there = settings.output.iterdir() if settings.output.is_dir() else ()
        names = sorted(path.name for path in there if is_of_model(path.name) and path.is_file())
        check_free(str(run.output_dir), names, settings.output, replace=run.overwrite_output_dir)


def check_free(place: str, names: Iterable[str], folder: Path, *, replace: bool) -> None:
    """Raise if there is a model where a run is to begin, or a part of one, unless it is to be replaced.

    Args:
      place: the folder or address, for the message.
      names: the files of a model that are there.
      folder: where the record of the run is that left them, if it was a run.

    Raises:
      OptionError: there is a model, or a part of one, and `replace` is False.
    """
    names = list(names)
    kinds = [kind for name, kind in KINDS.items() if name in names]
    if names and not replace:
        what = f"a finished {kinds[0]}{_told(folder)}" if kinds else f"a file of a model ({names[0]})"
        raise OptionError(
            f"{place} holds {what} and no checkpoint to go on from; choose another --output_dir, or replace what is "
            "there with --overwrite_output_dir True"
        )


def _told(folder: Path) -> str:
    """Return what the record of a run tells of it, in brackets; nothing where there is none."""
    try:
        record = json.loads((folder / RUN).read_bytes())
        return f" (--tune {record['tune']}, --seed {record['seed']}, finished {record['result']['finished']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def publish(unfinished: Path, output: Path) -> None:
    """Move the files of a finished model into the folder of the run, in the place of those of an earlier one.

    At no moment does the folder look like a model and hold files of two: the files that mark a model are removed first,
    then the earlier model's other files; the new files are moved in, and those that mark a model last. A run that was
    resumed keeps its `retrieval.json`.

    Raises:
      DiskError: the disk does not take it.
    """
    files = [path for path in unfinished.rglob("*") if path.is_file()]
    for path in files:
        sync(path)
    with disk_errors(output):
        _remove_model(output, but={RETRIEVAL} if checkpoints.finished(output) else set())
        for path in sorted(files, key=lambda path: path.parent == unfinished and path.name in KINDS):
            place = output / path.relative_to(unfinished)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
        sync(output)
    shutil.rmtree(unfinished, ignore_errors=True)


def _remove_model(folder: Path, but: Set[str]) -> None:
    """Remove the files of a model from a folder but some, what makes it one first."""
    for name in KINDS:
        (folder / name).unlink(missing_ok=True)
    sync(folder)
    for path in list(folder.iterdir()):
        if path.name == INNER and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif (path.name == INNER or (is_of_model(path.name) and path.is_file())) and path.name not in but:
            path.unlink()
