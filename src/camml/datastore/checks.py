"""Every byte of a datastore read again, and what its database holds compared with what it must hold."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from camml.datastore import calibration
from camml.datastore import manifest as manifests
from camml.datastore.checked import Checked
from camml.datastore.files import REMEDY, check_size, compare
from camml.datastore.picture_files import PictureFile
from camml.datastore.pictures import COPY
from camml.datastore.snapshot import Snapshot, load
from camml.durable import digest
from camml.errors import ImageError, StoreCorruptedError
from camml.images import check_header, check_image
from camml.stores import in_database
from camml.types import Sample

NAMED = 5
"""Replaced pictures that are named."""


def verify(folder: Path, decode: bool = False) -> list[str]:
    """Return what is wrong in a datastore: files that are corrupted or missing, lost vectors, pictures that are gone or
    were replaced after they were indexed, a calibration that cannot be read.

    Every byte of the data files and of copied pictures is read; of pictures elsewhere the beginnings, so that one which
    is there can be opened, but may be cut short. One that has another length than when it was indexed was replaced; one
    of another time of modification is read and compared.

    Args:
      decode: read pictures elsewhere to their ends, and compare them all, which finds those cut short, and those
        replaced by one of the same length and time. This takes longer.

    Raises:
      StoreNotFoundError, StoreCorruptedError: there is no datastore, or its manifest is not as it was written.

    Example:
      >>> from camml import Datastore, Sample, encoders
      >>> store = Datastore.build("store", [Sample("pump-7", "The pump needs seal 4711.")], encoders.load("hashed"))
      >>> verify(Path("store"))
      []
    """
    problems = []
    checked, records = Checked(folder), manifests.read(folder).files
    for record in records:
        try:
            path, modified = check_size(folder, record)
            compare(path, record)
            checked.saw(record, modified)
        except StoreCorruptedError as error:
            problems.append(str(error))
        except FileNotFoundError:
            problems.append(f"{folder / record.name} is missing; {REMEDY}")
    checked.keep(records)
    if problems:
        return problems
    now = load(folder)
    return [*_lost(now), *_pictures(now, folder, decode), *_calibration(folder)]


def unrecorded(folder: Path) -> int:
    """Return how many pictures elsewhere were indexed by an earlier version, which did not note what they were then."""
    now = load(folder)
    keys = () if now.manifest.copies else now.table.keys_with("image").tolist()
    return sum(now.table.picture_file(key) is None for key in keys)


def _calibration(folder: Path) -> Iterator[str]:
    try:
        calibration.read(folder)
    except StoreCorruptedError as error:
        yield str(error)


def _pictures(now: Snapshot, folder: Path, decode: bool) -> Iterator[str]:
    check = check_image if decode else check_header
    intact, replaced = set[tuple[Path, PictureFile | None]](), list[Sample]()
    for key in now.table.keys.tolist():
        sample = now.table.sample(key)
        image = sample.image
        if image is None or (image, file := now.table.picture_file(key)) in intact:
            continue
        if not os.path.isfile(image):
            yield f"the picture of sample {sample.id!r} is gone: {image}"
        elif now.manifest.copies and COPY.fullmatch(image.name) and image.name[:64] != digest(image):
            yield f"the picture of sample {sample.id!r} is corrupted: {image}; {REMEDY}"
        elif problem := _problem(image, check):
            yield f"the picture of sample {sample.id!r} cannot be read: {problem}"
        elif file and not file.is_still(image, read=decode):
            replaced.append(sample)
        else:
            intact.add((image, file))
    if replaced:
        named = ", ".join(f"{sample.id!r} ({sample.image})" for sample in replaced[:NAMED])
        more = f" and {len(replaced) - NAMED} more" if len(replaced) > NAMED else ""
        yield (
            f"pictures replaced since they were indexed: {len(replaced)}, of the samples {named}{more}; they are still "
            "searched as the earlier ones: give their samples again, from the file or folder that they came from, "
            f"with `camml store add SOURCE --upsert --store {folder}`"
        )


def _problem(image: Path, check: Callable[[Path], None]) -> str | None:
    """Return what a check says of a picture, None where it finds nothing."""
    try:
        check(image)
    except ImageError as error:
        return str(error)
    return None


def _lost(now: Snapshot) -> list[str]:
    """Name what a database must hold and does not. More is no error: an unfinished change may have left it."""
    problems = []
    for modality, view in now.indexes.items():
        for part in filter(in_database, view.parts):
            lost = np.setdiff1d(now.table.keys_with(modality), part.keys())
            if len(lost):
                first = now.table.sample(int(lost[0])).id
                problems.append(
                    f"the database at {now.manifest.location} lacks the {modality} vectors of {len(lost)} samples, "
                    f"such as {first!r}; remove these samples and add them again"
                )
    return problems
