"""All pictures on disk: rendered by several processes, each once; a build that was stopped goes on where it was."""

import hashlib
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from camml.durable import disk_errors, replacing, write_file
from camml.errors import OptionError
from camml.factpix.catalog import Drawing

CHECKSUMS = "SHA256SUMS"
"""In the folder of a topic: what is drawn so far, as `sha256sum --check` reads it; the first line says from what."""

AT_ONCE = 500
"""After so many pictures the list of checksums is written, so a stopped build loses at most these."""


def check_folder(out: Path) -> None:
    """Raise if a benchmark cannot be built in the folder.

    Raises:
      OptionError: it is a file, or holds something else than an earlier build.
    """
    if out.exists() and not out.is_dir():
        raise OptionError(f"{out} is a file; give a folder")
    if out.is_dir() and any(out.iterdir()) and not any(out.glob(f"images/*/{CHECKSUMS}")):
        raise OptionError(f"{out} holds something else than this benchmark; give a new or an empty folder")


def draw_all(
    folder: Path, topic: str, wanted: Mapping[str, Drawing], recipe: str, *, processes: int = 2, progress: bool = True
) -> dict[str, str]:
    """Draw what is not there yet of a topic, and return the SHA-256 of every wanted picture by its path.

    Args:
      folder: where paths begin.
      topic: a folder in `images/`.
      wanted: drawings by path, all in the folder of the topic.
      recipe: what the pictures depend on beside the drawing; those of another recipe are made anew.
      processes: that draw at the same time.
      progress: show a bar if a person watches.
    Raises:
      DiskError: the folder cannot be written.
    """
    from tqdm import tqdm

    sums = folder / "images" / topic / CHECKSUMS
    with disk_errors(sums):
        for place in sorted({(folder / path).parent for path in wanted} | {sums.parent}):
            place.mkdir(parents=True, exist_ok=True)
        done = _intact(folder, sums, recipe, wanted)
    _settle(sums, recipe, done)  # at once: the list is what tells the folder of a build that was stopped
    # The styles of a class one after the other: what they have in common is then read once.
    missing = sorted(wanted.keys() - done.keys(), key=lambda path: (Path(path).name, path))
    jobs = [(folder / path, path, wanted[path]) for path in missing]
    bar = tqdm(total=len(wanted), initial=len(done), desc=topic, unit="picture", disable=not progress or None)
    # Not forked: a thread of the bar or of a caller could hold a lock for ever in the child.
    with bar, ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for start in range(0, len(jobs), AT_ONCE):
            for path, digest in pool.map(_draw, jobs[start : start + AT_ONCE], chunksize=25):
                done[path] = digest
                bar.update()
            _settle(sums, recipe, done)
    _settle(sums, recipe, done)
    return dict(sorted(done.items()))


def _draw(job: tuple[Path, str, Drawing]) -> tuple[str, str]:
    target, path, drawing = job
    png = drawing.png()
    with replacing(target, durable=False) as unfinished:
        unfinished.write_bytes(png)
    return path, hashlib.sha256(png).hexdigest()


def _settle(sums: Path, recipe: str, done: Mapping[str, str]) -> None:
    """Write down which pictures are whole."""
    lines = [f"# {recipe}", *(f"{done[path]}  {path}" for path in sorted(done))]
    write_file(sums, ("\n".join(lines) + "\n").encode())


def _intact(folder: Path, sums: Path, recipe: str, wanted: Mapping[str, Drawing]) -> dict[str, str]:
    """Return the wanted pictures on disk that are unchanged, with checksums; remove others of the topic in the list."""
    if not sums.is_file():
        return {}
    head, *lines = sums.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    intact, own = {}, sums.parent.resolve()
    for line in lines:
        digest, _, path = line.partition("  ")
        file = folder / path
        if path not in wanted:
            if file.is_file() and file.resolve().is_relative_to(own):  # a list of others may name any file
                file.unlink()
        elif head == f"# {recipe}" and file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == digest:
            intact[path] = digest
    return intact
