"""Every byte of a datastore read again, and what its database holds compared with what it must hold."""

from pathlib import Path

import numpy as np

from camml.datastore import manifest as manifests
from camml.datastore.files import REMEDY, check_file
from camml.datastore.snapshot import Snapshot, load
from camml.errors import StoreCorruptedError
from camml.stores import lives_elsewhere


def verify(folder: Path) -> list[str]:
    """What is wrong in a datastore: files that are corrupted or missing, lost vectors, samples whose picture is gone.

    Raises:
      StoreNotFoundError, StoreCorruptedError: there is no datastore, or its manifest is not as it was written.
    """
    problems = []
    for record in manifests.read(folder).files:
        try:
            check_file(folder, record, every_byte=True)
        except StoreCorruptedError as error:
            problems.append(str(error))
        except FileNotFoundError:
            problems.append(f"{folder / record.name} is missing; {REMEDY}")
    if problems:
        return problems
    now = load(folder)
    gone = [sample for sample in now.table if sample.image and not sample.image.is_file()]
    return [*_lost(now), *(f"the picture of sample {sample.id!r} is gone: {sample.image}" for sample in gone)]


def _lost(now: Snapshot) -> list[str]:
    """What a database must hold and does not. That it holds more is no error: an unfinished change may have left it."""
    problems = []
    for modality, view in now.indexes.items():
        for part in filter(lives_elsewhere, view.parts):
            lost = np.setdiff1d(now.table.keys_with(modality), part.keys())
            if len(lost):
                first = now.table.sample(int(lost[0])).id
                problems.append(
                    f"the database at {now.manifest.location} lacks the {modality} vectors of {len(lost)} samples, "
                    f"such as {first!r}; remove these samples and add them again"
                )
    return problems
