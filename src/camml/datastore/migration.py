"""The same samples and vectors in another kind of vector store; the switch is one step, and a stopped one goes on."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from camml.datastore import manifest as manifests
from camml.datastore.commits import writing
from camml.datastore.files import FileRecord, write_file
from camml.datastore.locations import WORK, collection_name, place, served, stored_location
from camml.datastore.manifest import MODALITIES, Manifest, Segment
from camml.datastore.rows import Rows
from camml.datastore.snapshot import Snapshot, load
from camml.durable import disk_errors
from camml.errors import CaMMLError, DiskError, StoreError
from camml.progress import Progress
from camml.stores import Keys, ServedStore, create, in_chunks, parse_store

CHUNK = 4096


def migrate(folder: Path, target: str, progress: Progress | None = None) -> int:
    """Move the vectors of the datastore in `folder` to `target` (`faiss`, `memory`, `milvus://…`); return their number.

    Until all of them are there, counted, the datastore is what it was. A compressed index stays behind.

    Raises:
      StoreNotFoundError: there is no datastore.
      UnknownNameError: no such kind of store.
      StoreError: they are there already, or a database has not kept all.
    """
    kind, location = parse_store(target)
    manifests.read(folder)
    with writing(folder):
        now = load(folder)
        manifest = now.manifest
        location = stored_location(folder, location)
        if (kind, location) == (manifest.store, manifest.location):
            raise StoreError(f"the vectors of {folder} are in {target} already")
        work = folder / WORK / f"migrate-{manifest.generation}-{kind}"
        with disk_errors(work):
            work.mkdir(parents=True, exist_ok=True)
        total = manifest.counts["image"] + manifest.counts["text"]
        told = _counting(progress, total)
        collection = collection_name(folder) if location else ""
        following = manifest.following(store=kind, location=location, collection=collection, fast={})
        if location:
            _serve(folder, now, following, told)
            segments = tuple(replace(segment, image=None, text=None) for segment in manifest.segments)
        else:
            segments = tuple(
                _refiled(folder, now, following, work, number, told) for number in range(len(manifest.segments))
            )
        manifests.write(folder, replace(following, segments=segments))
        shutil.rmtree(folder / WORK, ignore_errors=True)
        if manifest.location:
            drop_collections(folder, manifest)
    return total


def drop_collections(folder: Path, manifest: Manifest) -> None:
    """Remove the vectors of `manifest` from a database, if it can be reached: nothing refers to them any more."""
    for modality in MODALITIES:
        if manifest.counts[modality]:
            try:
                served(folder, manifest, modality).drop()
            except CaMMLError:
                return


def _serve(folder: Path, now: Snapshot, following: Manifest, told: Callable[[int], None]) -> None:
    """Add all vectors that are not removed to the database, from the first key that it lacks on."""
    for modality, view in now.indexes.items():
        keys, store = now.table.keys_with(modality), served(folder, following, modality)
        begun = store.keys()
        if not np.array_equal(begun, keys[: len(begun)]):  # half a request arrived
            store.remove(begun)
            begun = begun[:0]
        told(len(begun))
        for chunk in in_chunks(keys[len(begun) :], CHUNK):
            store.add(chunk, view.vectors(chunk))
            told(len(chunk))
        _check_all_there(store, keys, place(folder, following.location))


def _check_all_there(store: ServedStore, keys: Keys, where: str) -> None:
    if not np.array_equal(store.keys(), keys):
        raise StoreError(f"{where} does not hold the {len(keys)} vectors it was given; migrate again")


def _refiled(
    folder: Path, now: Snapshot, following: Manifest, work: Path, number: int, told: Callable[[int], None]
) -> Segment:
    """Write one segment with its vectors to new files; files that an earlier attempt finished are reused."""
    segment = now.manifest.segments[number]
    rows: Rows = now.opened[segment.samples]
    files: dict[str, FileRecord | None] = dict.fromkeys(MODALITIES)
    for modality, view in now.indexes.items():
        keys = rows.with_image() if modality == "image" else rows.keys
        keys = keys[~np.isin(keys, now.table.removed)]
        if not len(keys):
            continue
        name = f"{following.generation:06d}-{modality}-{number}.index"
        if not (work / name).exists():
            store = create(following.store, view.dim)
            store.add(keys, view.vectors(keys))
            write_file(work, name, store.save)
        files[modality] = _taken(folder, work, name)
        told(len(keys))
    return replace(segment, image=files["image"], text=files["text"])


def _taken(folder: Path, work: Path, name: str) -> FileRecord:
    """Link a finished file into the datastore and return its record; both names are one file."""
    try:
        return write_file(folder, name, lambda path: path.hardlink_to(work / name))
    except DiskError:  # not every file system has hard links
        return write_file(folder, name, lambda path: shutil.copyfile(work / name, path))


def _counting(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def told(more: int) -> None:
        nonlocal done
        done += more
        if progress:
            progress(done, total)

    return told
