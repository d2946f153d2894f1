"""A datastore as one generation left it, in memory; and how the next generation is written."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from camml import plugins
from camml.datastore import manifest as manifests
from camml.datastore.embedding import Embedded
from camml.datastore.files import FileRecord, check_file, digest, only_writer, write_file
from camml.datastore.manifest import MODALITIES, Manifest, Segment
from camml.datastore.table import Table
from camml.durable import disk_errors, sync_folder
from camml.errors import DiskError, StoreCorruptedError, StoreError, StoreNotFoundError
from camml.stores import Keys, Vectors, VectorStore, create, keys_of
from camml.types import Sample

WORK = "work"
COPIES = "images"
MOST_SEGMENTS = 16
MOST_REMOVED = 0.25


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a manifest refers to, read and checked; never changed.

    Attributes:
      indexes: a vector store per modality; none where no sample has a vector of it.
    """

    manifest: Manifest
    table: Table
    indexes: dict[str, VectorStore]


def load(folder: Path, images: Path | None = None) -> Snapshot:
    """The newest generation in `folder`, every byte of it checked.

    Raises:
      StoreNotFoundError, StoreCorruptedError: there is none, or it is not as it was written.
    """
    manifest = manifests.read(folder)
    while True:
        try:
            return _load(folder, manifest, images)
        except (OSError, StoreError) as error:
            newest = manifests.read(folder)
            if newest == manifest:
                if isinstance(error, FileNotFoundError):
                    raise StoreCorruptedError(f"{error.filename} is missing from the datastore {folder}") from error
                raise
            manifest = newest  # two writers came by while we read, and the second removed what we were reading


def _load(folder: Path, manifest: Manifest, images: Path | None) -> Snapshot:
    root = images or Path(os.path.abspath(folder / manifest.images))
    table = Table.read([check_file(folder, segment.samples) for segment in manifest.segments], root)
    removed = keys_of(manifest.removed)
    kind = plugins.find("stores", manifest.store).Store
    indexes: dict[str, VectorStore] = {}
    for modality in MODALITIES:
        files = [check_file(folder, file) for file in manifest.files_of(modality)]
        if files:
            indexes[modality] = index = _merged([kind.open(file) for file in files], table.keys_with(modality))
            index.remove(removed)
    return Snapshot(manifest, table.without(removed), {name: index for name, index in indexes.items() if len(index)})


def _merged(parts: list[VectorStore], keys: Keys) -> VectorStore:
    """One index of all; `keys` are those of all parts, one part after the other."""
    first, *others = parts
    start = len(first)
    for part in others:
        its_keys = keys[start : start + len(part)]
        first.add(its_keys, part.vectors(its_keys))
        start += len(part)
    return first


@contextmanager
def writing(folder: Path, *, new: bool = False) -> Iterator[None]:
    """Be the only writer of `folder`, and sweep up what earlier ones left.

    Raises:
      StoreLockedError: another process is writing.
    """
    if new:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder):
        try:
            manifest = manifests.read(folder)
        except StoreNotFoundError:
            manifest = None
        with disk_errors(folder):
            for path in manifests.unreferenced(folder, manifest):
                path.unlink()
        yield


def commit_added(folder: Path, before: Snapshot, added: Embedded) -> None:
    """Write the generation that holds `added` too."""
    manifest = before.manifest
    samples = _copied(folder / COPIES, added.samples) if manifest.copies else added.samples
    table = Table.of(samples, manifest.next_key, before.table.root)
    vectors = {"text": added.text, "image": added.image}
    segments = _written(folder, manifest, manifest.generation + 1, table, vectors)
    counts = {"samples": len(table)} | {modality: len(rows) for modality, rows in vectors.items()}
    following = manifest.following(
        next_key=manifest.next_key + len(table),
        segments=manifest.segments + segments,
        counts={name: manifest.counts[name] + count for name, count in counts.items()},
    )
    _commit(folder, following)


def commit_removed(folder: Path, before: Snapshot, keys: Keys) -> None:
    """Write the generation without the samples of `keys`."""
    manifest, table = before.manifest, before.table
    kept = {"samples": table.keys} | {modality: table.keys_with(modality) for modality in MODALITIES}
    counts = {name: int(np.isin(its_keys, keys, invert=True).sum()) for name, its_keys in kept.items()}
    _commit(folder, manifest.following(removed=(*manifest.removed, *map(int, keys)), counts=counts))


def _commit(folder: Path, manifest: Manifest) -> None:
    """Make `manifest` the state of the datastore; then merge its segments, where there are too many."""
    manifests.write(folder, manifest)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    rows = sum(segment.count for segment in manifest.segments)
    if len(manifest.segments) > MOST_SEGMENTS or len(manifest.removed) > MOST_REMOVED * rows:
        with suppress(DiskError):  # the change itself is safe, and the next writer merges
            _merge(folder, manifest)


def _merge(folder: Path, manifest: Manifest) -> None:
    """Write the same samples again as one segment, and let go of what was removed."""
    table, indexes = (now := _load(folder, manifest, None)).table, now.indexes
    vectors = {modality: index.vectors(table.keys_with(modality)) for modality, index in indexes.items()}
    segments = _written(folder, manifest, manifest.generation + 1, table, vectors)
    manifests.write(folder, manifest.following(segments=segments, removed=()))
    if manifest.copies:
        used = {sample.image for sample in table}
        for path in (folder / COPIES).glob("*"):
            if path not in used:
                path.unlink()


def _written(
    folder: Path, manifest: Manifest, generation: int, table: Table, vectors: Mapping[str, Vectors]
) -> tuple[Segment, ...]:
    """The segment that was written for `table` and its vectors, if there was anything to write."""
    if not len(table):
        return ()
    files: dict[str, FileRecord] = {}
    for modality, rows in vectors.items():
        if len(rows):
            index = create(manifest.store, manifest.encoder.dim(modality))
            index.add(table.keys_with(modality), rows)
            files[modality] = write_file(folder, f"{generation:06d}-{modality}.index", index.save)
    samples = write_file(folder, f"{generation:06d}-samples.parquet", table.write)
    return (Segment(len(table), samples, files.get("image"), files.get("text")),)


def _copied(folder: Path, samples: Sequence[Sample]) -> list[Sample]:
    """The samples with their images copied to `folder`, under a name that is their content's checksum."""
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
    copied = [replace(sample, image=sample.image and _copy(sample.image, folder)) for sample in samples]
    sync_folder(folder)
    return copied


def _copy(image: Path, folder: Path) -> Path:
    suffix = image.suffix.lower() if image.suffix[1:].isalnum() else ""
    path = folder / f"{digest(image)}{suffix}"
    if not path.exists():
        write_file(folder, path.name, lambda unfinished: shutil.copyfile(image, unfinished))
    return path
