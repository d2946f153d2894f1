"""The pictures that a datastore keeps copies of: put there before a change is committed, deleted after it."""

import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from camml.datastore.files import write_file
from camml.datastore.manifest import Manifest
from camml.datastore.readers import earlier_are_read
from camml.datastore.table import Table
from camml.durable import UNFINISHED, digest, disk_errors, sync_folder
from camml.errors import ImageError
from camml.stores import Keys
from camml.types import Sample

COPIES = "images"
NOTE = "unused-pictures"
"""A file that is there while pictures may lie in `COPIES` that no sample has."""
SUFFIX = re.compile(r"\.[0-9A-Za-z]{1,8}")
COPY = re.compile(rf"[0-9a-f]{{64}}({SUFFIX.pattern})?")
"""How copies are called; other files in their folder are not ours to delete."""


def copied(folder: Path, samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples with their images copied to `folder`, under a name that is their content's checksum.

    Raises:
      ImageError: an image went away after it was embedded.
      DiskError: the disk is full or not writable.
    """
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
    copied = [replace(sample, image=sample.image and _copy(sample, sample.image, folder)) for sample in samples]
    sync_folder(folder)
    return copied


def _copy(sample: Sample, image: Path, folder: Path) -> Path:
    try:
        name = digest(image)
    except OSError as error:
        raise ImageError(
            f"sample {sample.id!r}: the image {image} went away while it was added ({error.strerror}); put it back"
        ) from error
    path = folder / (name + (image.suffix.lower() if SUFFIX.fullmatch(image.suffix) else ""))
    if not path.exists():
        write_file(folder, path.name, lambda unfinished: shutil.copyfile(image, unfinished))
    return path


def note(folder: Path) -> bool:
    """Record that pictures without a sample may appear, even if this process dies; return True if it was already."""
    if (folder / NOTE).exists():
        return True
    write_file(folder, NOTE, lambda path: path.write_text("The next change deletes pictures that no sample has.\n"))
    return False


def settle(folder: Path) -> None:
    """Record that all pictures are those of samples."""
    with suppress(OSError):  # it costs the next writer a look
        (folder / NOTE).unlink(missing_ok=True)


def of(table: Table, keys: Keys) -> set[str]:
    """Return the names of the copies that the samples of `keys` have."""
    return {image.name for key in keys.tolist() if (image := table.sample(key).image)}


def sweep(folder: Path, manifest: Manifest, table: Table, some: Iterable[str] | None = None) -> bool:
    """Delete the pictures that no sample in `table` has; return whether all of them are gone.

    None is deleted while anybody reads an earlier generation, to which it may belong.

    Args:
      some: look at these names only.
    """
    if earlier_are_read(folder, manifest.generation):
        return False
    try:
        there = [path.name for path in (folder / COPIES).iterdir()] if some is None else list(some)
        in_use = used(table, there)
        for name in there:
            if name not in in_use and (COPY.fullmatch(name) or name.endswith(UNFINISHED)):
                (folder / COPIES / name).unlink(missing_ok=True)
    except FileNotFoundError:  # there is no folder of copies
        return True
    except OSError:  # the change that came before is safe; a later writer tries again
        return False
    return True


def used(table: Table, names: Sequence[str]) -> set[str]:
    """Return those of `names` that a living sample has."""
    import pyarrow.compute as pc

    names_used, wanted = set[str](), pa.array(names, pa.large_string())
    for part in table.parts:
        stored = pc.replace_substring_regex(part.column("image"), r"(?s)^.*/", "")
        rows = np.flatnonzero(pc.is_in(stored, value_set=wanted).to_numpy(zero_copy_only=False))
        living = rows[~np.isin(part.keys[rows], table.removed)]
        names_used.update(stored.take(pa.array(living)).to_pylist())
    return names_used
