"""Writing the next generation of a datastore: new data to files of its own, then the manifest.

Removed samples stay in their files, and a removal writes only their keys. Files are rewritten when there are many small
ones or one is a quarter dead: a sample is then rewritten about once each time the datastore doubles, until it is in a
file of half of `FULL` samples, which is not joined with others: so a change holds no more than that in memory.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from camml.datastore import manifest as manifests
from camml.datastore import pictures
from camml.datastore.embedding import PART, Embedded
from camml.datastore.files import FileRecord, only_writer, write_file
from camml.datastore.locations import WORK, served
from camml.datastore.manifest import MODALITIES, Manifest, Segment
from camml.datastore.places import Places
from camml.datastore.readers import earlier_are_read
from camml.datastore.rows import Rows
from camml.datastore.snapshot import Snapshot, load, load_generation
from camml.durable import disk_errors
from camml.errors import DiskError, StoreError, StoreNotFoundError
from camml.stores import Keys, Vectors, create, keys_of

MOST_SEGMENTS = 16
FULL = PART
"""Samples of the largest file that others are joined to; what a build writes is of this size."""
MOST_REMOVED = 0.25
INLINE = 1000
"""Removed keys that the manifest itself holds; more are put into a file."""


@contextmanager
def writing(folder: Path, *, new: bool = False) -> Iterator[None]:
    """Hold the writer's lock of `folder`, after removing what earlier writers left.

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
                path.unlink(missing_ok=True)  # an unfinished file of another process may have got its name meanwhile
        if manifest:
            tidy_up(folder, manifest)
        yield


def tidy_up(folder: Path, manifest: Manifest) -> None:
    """Delete the pictures that an earlier writer could not, because it was ended or somebody read what it changed."""
    if manifest.copies and not earlier_are_read(folder, manifest.generation) and (folder / pictures.NOTE).exists():
        with suppress(StoreError):  # the change that follows says what is wrong
            tidy(folder, load(folder))


def tidy(folder: Path, now: Snapshot, some: Iterable[str] | None = None) -> None:
    """Delete copies of pictures that no sample has any more, if nobody reads a generation that had them.

    Args:
      some: the names in question; none for all.
    """
    if pictures.sweep(folder, now.manifest, now.table, some):
        pictures.settle(folder)


def commit_added(
    folder: Path, before: Snapshot, added: Iterable[Embedded], drop: Callable[[], Keys] = lambda: keys_of(())
) -> int:
    """Write the generation that holds all parts of `added` too, each as a segment, and return the number of samples.

    Args:
      drop: asked when all are there for the keys of samples that go in the same step.

    Raises:
      StoreError: `before` is not the newest generation.
    """
    _check_newest(folder, before)
    manifest, segments = before.manifest, list[Segment]()
    next_key, counts = manifest.next_key, dict(manifest.counts)
    places = Places.of(folder, manifest)
    noted = manifest.copies and pictures.note(folder)
    for part in added:
        samples = pictures.copied(folder / pictures.COPIES, part.samples) if manifest.copies else part.samples
        # copies are called by their checksums
        rows = Rows.of(samples, next_key, places, () if manifest.copies else part.files)
        vectors = {"text": (rows.keys, part.text), "image": (rows.with_image(), part.image)}
        if manifest.location:
            _serve(folder, manifest, vectors, next_key)
        segments += written(folder, manifest, manifest.generation + 1, rows, vectors, len(segments))
        next_key += len(rows)
        counts["samples"] += len(rows)
        for modality, (keys, _) in vectors.items():
            counts[modality] += len(keys)
        del part, rows, vectors  # before the next part is made
    gone = drop()
    if segments or not manifest.generation or len(gone):
        following = manifest.following(next_key=next_key, segments=manifest.segments + tuple(segments), counts=counts)
        _commit(folder, _less(folder, following, before, gone), before)
        _try_to_withdraw(folder, manifest, gone)
    if manifest.copies and not noted and not len(gone):
        pictures.settle(folder)
    return next_key - manifest.next_key


def _check_newest(folder: Path, before: Snapshot) -> None:
    """Raise if another generation was committed after `before`: what follows `before` would overwrite it."""
    try:
        newest = manifests.read(folder).generation
    except StoreNotFoundError:
        newest = 0
    if newest != before.manifest.generation:
        raise StoreError(
            f"the datastore {folder} was changed meanwhile: it is at generation {newest}, and this change is of "
            f"generation {before.manifest.generation}; nothing was written, try again"
        )


def _less(folder: Path, following: Manifest, before: Snapshot, keys: Keys) -> Manifest:
    """Return a manifest without the samples of `keys`, which are in `before`."""
    gone = {"samples": len(keys), "text": len(keys), "image": sum(map(before.table.has_image, keys.tolist()))}
    counts = {name: following.counts[name] - count for name, count in gone.items()}
    following = replace(following, removed=(*following.removed, *map(int, keys)), counts=counts)
    return _spilled(folder, following, before) if len(following.removed) > INLINE else following


def _try_to_withdraw(folder: Path, manifest: Manifest, keys: Keys) -> None:
    """Take vectors out of a database; they count no longer, and go for certain when their rows are rewritten."""
    if manifest.location and len(keys):
        with suppress(StoreError):
            _withdraw(folder, manifest, keys)


def commit_removed(folder: Path, before: Snapshot, keys: Keys) -> set[str] | None:
    """Write the generation without the samples of `keys`; return the names of their pictures, for `tidy`.

    None where an earlier writer may have left pictures too, so that all are to be looked at.

    Raises:
      StoreError: `before` is not the newest generation.
    """
    _check_newest(folder, before)
    manifest, table = before.manifest, before.table
    noted = manifest.copies and pictures.note(folder)
    unused = pictures.of(table, keys) if manifest.copies else set[str]()
    _commit(folder, _less(folder, manifest.following(), before, keys), before)
    _try_to_withdraw(folder, manifest, keys)
    return None if noted else unused


def _spilled(folder: Path, manifest: Manifest, before: Snapshot) -> Manifest:
    """Return the manifest with its removed keys moved to a file; many such files are merged into one."""
    keys, files = keys_of(manifest.removed), manifest.removed_files
    if len(files) >= MOST_SEGMENTS:
        keys, files = np.union1d(before.table.removed, keys), ()
    record = write_file(folder, f"{manifest.generation:06d}-removed.npy", lambda path: _save_keys(path, keys))
    return replace(manifest, removed=(), removed_files=(*files, record))


def _save_keys(path: Path, keys: Keys) -> None:
    with path.open("wb") as file:
        np.save(file, keys)


def _commit(folder: Path, manifest: Manifest, before: Snapshot) -> None:
    """Make `manifest` the state of the datastore; then rewrite segments, where that is due."""
    manifests.write(folder, manifest)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    with suppress(DiskError):  # the change itself is safe, and the next writer rewrites
        now = load_generation(folder, manifest, None, before)
        if runs := _due(now):
            _rewrite(folder, now, runs)


def _due(now: Snapshot) -> list[tuple[int, int]]:
    """Return the runs [from, to) of segments to be rewritten as one."""
    segments, removed = now.manifest.segments, now.table.removed
    firsts = [int(now.opened[segment.samples].keys[0]) for segment in segments]
    dead = np.diff(np.searchsorted(removed, [*firsts, np.iinfo(np.int64).max]))
    counts = [segment.count for segment in segments]
    full = 1 + max((number for number, count in enumerate(counts) if 2 * count >= FULL), default=-1)
    if len(segments) - full > MOST_SEGMENTS:
        border, end = _joinable(now, firsts)
        return [(_last_run(counts[:end], max(full, border)), end)]
    return [(n, n + 1) for n, count in enumerate(counts) if dead[n] > MOST_REMOVED * count]


def _joinable(now: Snapshot, firsts: Sequence[int]) -> tuple[int, int]:
    """Return the segments [from, to) that may be joined: all outside the compressed index, else all inside it.

    A joined segment counts as indexed by its first key, so mixing would hide unindexed samples from search.
    """
    below = max((fast.below for fast in now.manifest.fast.values()), default=0)
    covered = sum(first < below for first in firsts)
    others = len(firsts) - covered
    return (covered, len(firsts)) if others > 1 else (0, covered or len(firsts))


def _last_run(counts: Sequence[int], border: int) -> int:
    """Return where the last segments begin that together match the one before in size, so that sizes keep doubling.

    Those from `border` on are small, and no more than `FULL` samples are joined.
    """
    start, total, half = len(counts) - 1, counts[-1], (border + len(counts)) // 2 + 1
    while start > border and total + counts[start - 1] <= FULL and (counts[start - 1] <= total or start > half):
        start -= 1
        total += counts[start]
    return min(start, len(counts) - 2)


def _rewrite(folder: Path, now: Snapshot, runs: Sequence[tuple[int, int]]) -> None:
    """Write each run as one segment without what was removed, and forget those keys."""
    manifest = now.manifest.following()
    segments, forgotten = list(now.manifest.segments), keys_of(())
    for start, end in reversed(runs):
        parts: list[Rows] = [now.opened[segment.samples] for segment in segments[start:end]]
        keys = np.concatenate([part.keys for part in parts])
        forgotten = np.concatenate([forgotten, keys[np.isin(keys, now.table.removed)]])
        rows = Rows.joined(parts, now.table.removed)
        its = {"text": rows.keys, "image": rows.with_image()}
        vectors = {
            modality: (its[modality], view.vectors(its[modality]))
            for modality, view in now.indexes.items()
            if not manifest.location
        }
        segments[start:end] = written(folder, manifest, manifest.generation, rows, vectors, start)
    if manifest.location and len(forgotten):
        _withdraw(folder, manifest, forgotten)  # a key is forgotten only when nothing is under it any more
    left = np.setdiff1d(now.table.removed, forgotten)
    manifest = replace(manifest, segments=tuple(segments), removed=tuple(left.tolist()), removed_files=())
    manifests.write(folder, _spilled(folder, manifest, now) if len(left) > INLINE else manifest)


def written(
    folder: Path,
    manifest: Manifest,
    generation: int,
    rows: Rows,
    vectors: Mapping[str, tuple[Keys, Vectors]],
    number: int = 0,
) -> tuple[Segment, ...]:
    """Write a segment for `rows` and their vectors; return that one segment, or none if there is nothing to write."""
    if not len(rows):
        return ()
    which = f"-{number}" if number else ""
    files: dict[str, FileRecord] = {}
    for modality, (keys, its) in vectors.items():
        if len(keys) and not manifest.location:
            index = create(manifest.store, manifest.encoder.dim(modality))
            index.add(keys, its)
            files[modality] = write_file(folder, f"{generation:06d}-{modality}{which}.index", index.save)
    samples = write_file(folder, f"{generation:06d}-samples{which}.parquet", rows.write)
    return (Segment(len(rows), samples, files.get("image"), files.get("text")),)


def _serve(folder: Path, manifest: Manifest, vectors: Mapping[str, tuple[Keys, Vectors]], next_key: int) -> None:
    """Add new vectors to the database, and remove those of a change that was never committed."""
    for modality, (keys, its) in vectors.items():
        if len(keys):
            store = served(folder, manifest, modality)
            store.remove(store.keys(next_key))
            store.add(keys, its)


def _withdraw(folder: Path, manifest: Manifest, keys: Keys) -> None:
    """Take vectors out of the database."""
    for modality in MODALITIES:
        if manifest.counts[modality]:
            served(folder, manifest, modality).remove(keys)
