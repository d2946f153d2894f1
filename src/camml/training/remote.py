"""Runs whose folder is on object storage: trained in a local folder, of which all that is finished is uploaded.

A checkpoint there is whole when it has `complete.json`, which lists its files and is written last and removed first.
What is there is the truth: a run goes on from the newest whole checkpoint there, on however many machines, and needs no
disk that they share.
"""

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from camml.errors import DiskError, OptionError
from camml.packages import cache_dir
from camml.remote import file_system, is_address, storage_errors
from camml.training import checkpoints, results
from camml.training.processes import joined, wait_for_all
from camml.training.results import KINDS, RUN

MARKER = "complete.json"
_logger = logging.getLogger("camml")


def local_folder(address: str) -> Path:
    """Return the folder on this machine in which a run of that address is trained."""
    name = address.rstrip("/").rpartition("/")[2]
    return cache_dir() / "runs" / f"{name}-{hashlib.sha256(address.rstrip('/').encode()).hexdigest()[:12]}"


class RemoteRun:
    """The folder of a run on object storage, and the one it is trained in.

    Raises:
      OptionError: no file system of that scheme is known, or its package is not installed.
    """

    def __init__(self, address: str, folder: Path, limit: int | None = None) -> None:
        self.address = address.rstrip("/")
        self.folder = folder
        self.limit = limit
        self._system, self._root = file_system(self.address)

    def finished(self) -> dict[int, dict[str, int]]:
        """Return the whole checkpoints there, by step, oldest first: the sizes of their files by name, in bytes."""
        with storage_errors(self.address, DiskError):
            self._system.invalidate_cache()
            markers = self._system.glob(f"{self._root}/checkpoint-*/{MARKER}")
            names = {int(path.split("/")[-2].rpartition("-")[2]): path for path in markers}
            return {step: json.loads(self._system.cat_file(names[step])) for step in sorted(names)}

    def fetch(self, wanted: str | None, *, alone: bool = True) -> None:
        """Make the local folder agree with what is there: the run's record, and the checkpoint to resume from.

        Args:
          wanted: as `checkpoints.to_resume`, or the address of a checkpoint there.
          alone: no other machine takes part; then checkpoints whose upload failed earlier are uploaded now.

        Raises:
          OptionError: there is no such checkpoint, it cannot be read, or a new start would mix with an old run.
          DiskError: something cannot be downloaded.
        """
        with storage_errors(self.address, DiskError):
            known = self._system.exists(f"{self._root}/{RUN}")
        if not known:
            shutil.rmtree(self.folder, ignore_errors=True)  # it was removed there, or never began
            return
        self._download([RUN], self._root, self.folder)
        newest = max(self.finished(), default=-1)
        for path in checkpoints.finished(self.folder) if alone else ():
            if _step(path.name) > newest and not self._was_abandoned(path):
                self._make_up_for(path)
        there = self.finished()
        if wanted in ("False", "false") and there:
            raise OptionError(
                f"{self.address} holds checkpoints of an earlier run; choose another --output_dir or remove them"
            )
        step = _step(str(wanted)) if is_address(wanted) else max(there, default=-1)
        if is_address(wanted) and (step not in there or str(wanted).rstrip("/") != f"{self.address}/checkpoint-{step}"):
            listed = ", ".join(f"checkpoint-{step}" for step in there) or "none"
            raise OptionError(f"--resume_from_checkpoint {wanted}: no finished checkpoint there; there are: {listed}")
        best = None
        if step in there:
            self._fetch_checkpoint(step, there[step])
            best = checkpoints.state_of(self.folder / f"checkpoint-{step}")[1]
        if best is not None and best in there:
            self._fetch_checkpoint(best, there[best])
        for path in checkpoints.finished(self.folder):
            if _step(path.name) in there:
                continue
            if _step(path.name) != best:
                shutil.rmtree(path)  # other machines cannot go on from it
            elif alone:
                self._make_up_for(path)

    def _make_up_for(self, checkpoint: Path) -> None:
        """Upload a checkpoint of this machine that could not be uploaded at its time."""
        self.upload(checkpoint)
        self.complete(checkpoint)

    def _was_abandoned(self, checkpoint: Path) -> bool:
        """Return whether another machine has abandoned a checkpoint that this one has still."""
        pattern = f"{self._root}/{checkpoints.ABANDONED}{checkpoint.name}*/{checkpoints.STATE}"
        with storage_errors(self.address, DiskError):
            states = [self._system.cat_file(path) for path in self._system.glob(pattern)]
        return (checkpoint / checkpoints.STATE).read_bytes() in states

    def abandon_later(self, resume: Path) -> None:
        """Rename there, too, what `checkpoints.left_behind` names; each is whole under one of its names at any time.

        Raises:
          OptionError: `resume` cannot be read.
          DiskError: they cannot be renamed.
        """
        there, renamed = self.finished(), dict[str, str]()
        for step in reversed(checkpoints.left_behind(there, self.folder, resume)):
            with storage_errors(self.address, DiskError):
                old = f"checkpoint-{step}"
                new = checkpoints.abandoned_name(step, self._is_whole)
                for name in (*there[step], MARKER):
                    self._system.cp_file(f"{self._root}/{old}/{name}", f"{self._root}/{new}/{name}")
                self._remove(step)
            renamed = {old: new, **renamed}
        checkpoints.say_abandoned(self.address, resume, renamed)

    def local(self, wanted: str | None) -> str | None:
        """Return what to resume from, as `checkpoints.to_resume` takes it."""
        return str(self.folder / f"checkpoint-{_step(str(wanted))}") if is_address(wanted) else wanted

    def _fetch_checkpoint(self, step: int, sizes: dict[str, int]) -> None:
        place = self.folder / f"checkpoint-{step}"
        if self._is_here(place, sizes):
            return
        unfinished = self.folder / checkpoints.UNFINISHED / place.name
        shutil.rmtree(unfinished, ignore_errors=True)
        self._download(list(sizes), f"{self._root}/{place.name}", unfinished)
        for name, size in sizes.items():
            if (size_there := (unfinished / name).stat().st_size) != size:
                raise DiskError(f"{self.address}/{place.name}/{name}: {size_there} bytes arrived of {size}; try again")
        checkpoints.commit(unfinished, place)

    def _is_here(self, place: Path, sizes: dict[str, int]) -> bool:
        """Return whether a checkpoint there is on this machine, and not one of the same step of another branch."""
        if not all((place / name).is_file() and (place / name).stat().st_size == sizes[name] for name in sizes):
            return False
        with storage_errors(self.address, DiskError):
            state: bytes = self._system.cat_file(f"{self._root}/{place.name}/{checkpoints.STATE}")
        return state == (place / checkpoints.STATE).read_bytes()

    def _download(self, names: list[str], start: str, folder: Path) -> None:
        with storage_errors(self.address, DiskError):
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                self._system.get_file(f"{start}/{name}", str(folder / name))

    def upload(self, folder: Path, *, missing_only: bool = False) -> None:
        """Upload the files in a folder of the run, those that make it a model folder last.

        Args:
          missing_only: leave out what is there in the same size.

        Raises:
          DiskError: it cannot be uploaded.
        """
        place = self._place(folder)
        with storage_errors(self.address, DiskError):
            there = self._sizes(place)
            if not missing_only and MARKER in there:
                self._system.rm_file(f"{place}/{MARKER}")
            for path in sorted(_files(folder), key=lambda path: (path.name in KINDS, path)):
                name = str(path.relative_to(folder))
                if not missing_only or there.get(name) != path.stat().st_size:
                    self._system.put_file(str(path), f"{place}/{name}")

    def begin(self) -> None:
        """Upload the record of a run that begins.

        Raises:
          DiskError: the storage does not take it; known before the first step.
        """
        with storage_errors(self.address, DiskError):
            self._system.put_file(str(self.folder / RUN), f"{self._root}/{RUN}")

    def publish(self) -> None:
        """Upload all that a run leaves, in the place of the model of an earlier one, as `results.publish`.

        Raises:
          DiskError: it cannot be uploaded.
        """
        own = {str(path.relative_to(self.folder)) for path in _files(self.folder)}
        with storage_errors(self.address, DiskError):
            there = [name for name in self._sizes(self._root) if results.is_of_model(name)]
            for name in sorted(there, key=lambda name: name not in KINDS):
                if name in KINDS or name not in own:
                    self._system.rm_file(f"{self._root}/{name}")
        self.upload(self.folder)

    def check_free(self, *, replace: bool) -> None:
        """Raise if a run that begins there would replace a model, as `results.check_free`.

        Raises:
          OptionError: there is a model, and `replace` is False.
        """
        if not self.finished():
            with storage_errors(self.address, DiskError):
                names = [name for name in KINDS if self._system.exists(f"{self._root}/{name}")]
            results.check_free(self.address, names, self.folder, replace=replace)

    def complete(self, folder: Path) -> None:
        """Say that a checkpoint is whole there; then let go of the oldest ones above the limit, but not of the best.

        Raises:
          DiskError: that cannot be written.
        """
        place = self._place(folder)
        with storage_errors(self.address, DiskError):
            sizes = {name: size for name, size in self._sizes(place).items() if name != MARKER}
            self._system.pipe_file(f"{place}/{MARKER}", json.dumps(sizes, indent=1).encode())
        best = checkpoints.state_of(folder)[1] if self.limit else None
        for step in list(self.finished())[: -self.limit if self.limit else 0]:
            if step != best:
                with storage_errors(self.address, DiskError):
                    self._remove(step)

    def _is_whole(self, name: str) -> bool:
        return bool(self._system.exists(f"{self._root}/{name}/{MARKER}"))

    def _remove(self, step: int) -> None:
        self._system.rm_file(f"{self._root}/checkpoint-{step}/{MARKER}")
        self._system.rm(f"{self._root}/checkpoint-{step}", recursive=True)

    def _place(self, folder: Path) -> str:
        return "/".join([self._root, *folder.relative_to(self.folder).parts])

    def _sizes(self, place: str) -> dict[str, int]:
        self._system.invalidate_cache()
        files = self._system.find(place, detail=True)
        return {path[len(place) + 1 :]: int(facts["size"]) for path, facts in files.items()}


def join(run: Any, folder: Path) -> RemoteRun | None:
    """Return the run on object storage that all processes take part in, fetched; None where the run is on a disk.

    Args:
      run: the `RunArguments`; what to resume from is made a local folder in them.
      folder: the one that it is trained in.

    Raises:
      OptionError, DiskError: as `RemoteRun` and its `fetch`.
    """
    if run.remote is None:
        return None
    remote_run = RemoteRun(run.remote, folder, run.save_total_limit)
    machines = run.world_size // int(os.environ.get("LOCAL_WORLD_SIZE", run.world_size))
    with run.main_process_first(local=False):  # folders may be shared, or each machine's own
        if run.local_process_index == 0:
            remote_run.fetch(run.resume_from_checkpoint, alone=machines == 1)
            remote_run.check_free(replace=run.overwrite_output_dir)
    wait_for_all()
    run.resume_from_checkpoint = remote_run.local(run.resume_from_checkpoint)
    return remote_run


class Upload(TrainerCallback):
    """Uploads each checkpoint when it is finished.

    A failure is a warning, and the next checkpoint is tried again: a run is worth more than the way to its storage.
    """

    def __init__(self, run: RemoteRun) -> None:
        self.run = run

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Upload what the first machine has, then what the others have besides, then the mark that all is there."""
        folder = self.run.folder / f"checkpoint-{state.global_step}"
        first, speaks = args.process_index == 0, args.local_process_index == 0
        for step in (
            lambda: self.run.upload(folder) if first else None,
            lambda: self.run.upload(folder, missing_only=True) if speaks and not first and folder.is_dir() else None,
            lambda: self.run.complete(folder) if first else None,
        ):
            failed = False
            try:
                step()
            except DiskError as error:
                failed = True
                _logger.warning("%s was not uploaded, training goes on: %s", folder.name, error)
            if _anywhere(failed, args):
                return


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder, less checkpoints and what is unfinished in the folder of a run."""
    apart = (checkpoints.UNFINISHED, checkpoints.ABANDONED, "checkpoint-")
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(apart) for part in path.relative_to(folder).parts)
    ]


def _step(name: str) -> int:
    number = name.rstrip("/").rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _anywhere(failed: bool, args: TrainingArguments) -> bool:
    """Return whether it failed in any process; each waits for all."""
    if not joined():
        return failed
    flag = torch.tensor([float(failed)], device=args.device)
    distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
    return bool(flag.item())
