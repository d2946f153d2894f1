"""A datastore as one generation left it: opened, not read. What other processes do later does not change it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from camml.datastore import manifest as manifests
from camml.datastore.checked import Checked
from camml.datastore.files import FileRecord
from camml.datastore.locations import served
from camml.datastore.manifest import MODALITIES, Manifest
from camml.datastore.places import Places
from camml.datastore.readers import Reading, hold
from camml.datastore.rows import Rows
from camml.datastore.table import Table
from camml.datastore.view import View
from camml.errors import StoreCorruptedError, StoreError
from camml.stores import FileStore, Keys, ServedStore, keys_of, kind
from camml.stores._fast import CompressedIndex


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The opened files of one manifest.

    Attributes:
      indexes: the vectors of a modality; none where no sample has a vector of it.
      opened: the files, so that the next generation opens only those that are new.
      folder: where it is; none for one that was not opened from its own folder.
      reading: what keeps the pictures there that it needs.
    """

    manifest: Manifest
    table: Table
    indexes: Mapping[str, View]
    opened: Mapping[FileRecord, Any] = field(default_factory=dict)
    folder: Path | None = None
    reading: Reading | None = None


def load(folder: Path, images: Path | None = None, before: Snapshot | None = None) -> Snapshot:
    """Return the newest generation in `folder`.

    Args:
      images: where the pictures are, if they were moved.
      before: an earlier one; files that it has open are not opened again.

    Raises:
      StoreNotFoundError, StoreCorruptedError: there is none, or it is not as it was written.
      StoreError: a file cannot be read.
    """
    manifest = manifests.read(folder)
    while True:
        reading = hold(folder, manifest.generation) if manifest.copies else None
        if manifest.copies and (newest := manifests.read(folder)) != manifest:
            manifest = newest  # a writer may have missed the lock
            continue
        try:
            return replace(load_generation(folder, manifest, images, before), reading=reading)
        except (OSError, StoreError) as error:
            newest = manifests.read(folder)
            if newest == manifest:
                if isinstance(error, FileNotFoundError):
                    raise StoreCorruptedError(f"{error.filename} is missing from the datastore {folder}") from error
                if isinstance(error, OSError):
                    where = error.filename or folder
                    raise StoreError(f"cannot read {where}: {error.strerror or error}; may you read it?") from error
                raise
            manifest = newest  # two writers came by while we opened, and the second removed what we were opening


def load_generation(
    folder: Path, manifest: Manifest, images: Path | None = None, before: Snapshot | None = None
) -> Snapshot:
    """Return what `manifest` refers to; arguments and errors as in `load`, but for files that are gone.

    Raises:
      FileNotFoundError: a file is gone; a writer may have replaced it.
    """
    earlier = before.opened if before else {}
    opened: dict[FileRecord, Any] = {}
    checked = Checked(folder)

    def open_file(record: FileRecord, how: Callable[[Path], Any]) -> Any:
        if record not in earlier:
            opened[record] = how(checked.path(record))
        return opened.setdefault(record, earlier.get(record))

    places = Places.of(folder, manifest, images)
    spilled = [open_file(record, np.load) for record in manifest.removed_files]
    removed = np.sort(np.concatenate([keys_of(manifest.removed), *spilled]))
    table = Table([open_file(segment.samples, Rows.open) for segment in manifest.segments], places, removed)
    indexes = {}
    for modality in MODALITIES:
        if manifest.counts[modality] == 0:
            continue
        if manifest.location:
            indexes[modality] = served_view(table, served(folder, manifest, modality), modality)
        else:
            indexes[modality] = _file_view(manifest, modality, removed, open_file)
    checked.keep(manifest.files)
    return Snapshot(manifest, table, indexes, opened, folder)


def _file_view(
    manifest: Manifest, modality: str, removed: Keys, open_file: Callable[[FileRecord, Callable[[Path], Any]], Any]
) -> View:
    def mapped(path: Path) -> FileStore:
        store: FileStore = kind(manifest.store).open(path, mapped=True)
        return store

    records = [record for segment in manifest.segments if (record := getattr(segment, modality))]
    parts: list[FileStore] = [open_file(record, mapped) for record in records]
    view = file_view(manifest.encoder.dim(modality), manifest.counts[modality], parts, removed)
    if fast := manifest.fast.get(modality):
        index = open_file(fast.file, lambda path: CompressedIndex.open(path, view, fast.settings))
        later = [part for part in parts if part.first() >= fast.below]
        view.searched = [replace(index, base=view.exact()), *view.joined(later)]
    return view


def file_view(dim: int, count: int, parts: list[FileStore], removed: Keys) -> View:
    """Present file stores as one store, less the keys `removed` (ascending)."""
    return View(dim, count, parts, lambda keys: ~np.isin(keys, removed))


def served_view(table: Table, store: ServedStore, modality: str) -> View:
    """Present a served store without the vectors of samples that `table` does not have."""
    living = table.keys_with(modality)

    def alive(keys: Keys) -> Any:
        return living[np.minimum(np.searchsorted(living, keys), len(living) - 1)] == keys

    return View(store.dim, len(living), [store], alive)
