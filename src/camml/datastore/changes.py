"""The changes of a datastore as they are asked for: built, added to, updated, removed from; each is one step."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camml.datastore import manifest as manifests
from camml.datastore.commits import commit_added, commit_removed, tidy, tidy_up, writing
from camml.datastore.embedding import Embed, Embedded
from camml.datastore.given import ids_of
from camml.datastore.locations import WORK, collection_name, stored_location
from camml.datastore.manifest import EncoderRecord, Manifest
from camml.datastore.pictures import COPIES
from camml.datastore.places import Places, absolute, seen_from
from camml.datastore.snapshot import Snapshot
from camml.datastore.spool import Spool
from camml.datastore.table import OnBad, Table
from camml.datastore.targets import check_new, check_unbuilt
from camml.datastore.uploads import delete_unused, uploads_of
from camml.encoders import Encoder
from camml.errors import SampleError
from camml.layouts import spellings
from camml.progress import Progress
from camml.sizes import check_batch_size
from camml.stores import keys_of, parse_store
from camml.types import Sample

Reload = Callable[[], Snapshot]
"""Returns the newest state of the datastore; asked while the writer's lock is held, so that nothing comes after it."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """Samples that are to be stored, and the way from them to vectors; the parts are those of `Datastore.build`.

    Raises:
      OptionError: the size of a batch is none.
    """

    samples: Iterable[Sample]
    batch_size: int
    embed: Embed
    on_bad: OnBad
    progress: Progress | None

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)

    def spooled(self, there: Table, folder: Path) -> Spool:
        """Read the samples to their end, and return those that can be stored beside the ones that are `there`."""
        return Spool(self.samples, there, folder / WORK, self.on_bad)

    def embedded(self, spool: Spool, encoder: Encoder, folder: Path) -> Iterator[Embedded]:
        """Embed what `spooled` returned, part by part."""
        return self.embed(spool, encoder, folder / WORK, self.batch_size, self.on_bad, self.progress)


def build(
    folder: Path,
    incoming: Incoming,
    encoder: Encoder,
    encoder_options: Mapping[str, Any] | None,
    *,
    images: str | Path | None,
    copy_images: bool,
    store: str,
) -> None:
    """Build a datastore in `folder`, a path without links; all else as in `Datastore.build`."""
    kind, location = parse_store(store)
    location = stored_location(folder, location)
    check_new(folder, location, Path(images) if images else None)
    spool = incoming.spooled(Table([], Places(folder)), folder)
    with writing(folder, new=True):
        check_unbuilt(folder)  # once more: another process may have finished meanwhile
        record = EncoderRecord.of(encoder, encoder_options)
        collection = collection_name(folder) if location else ""
        images_in = COPIES if copy_images else seen_from(folder, absolute(images or folder.parent))
        manifest = Manifest(record, images_in, copies=copy_images, store=kind, location=location, collection=collection)
        empty = Snapshot(manifest, Table([], Places.of(folder, manifest)), {})
        commit_added(folder, empty, incoming.embedded(spool, encoder, folder))
        tidy_up(folder, manifests.read(folder))  # of an earlier attempt with other samples


def add(folder: Path, incoming: Incoming, encoder: Encoder, reload: Reload) -> int:
    """Add samples to the datastore in `folder`, all or none, and return the number added."""
    with writing(folder):
        now = reload()
        now.manifest.encoder.check(encoder, folder)
        spool = incoming.spooled(now.table, folder)
        return commit_added(folder, now, incoming.embedded(spool, encoder, folder))


def update(folder: Path, incoming: Incoming, gone: Iterable[str], encoder: Encoder, reload: Reload) -> int:
    """Add samples in place of those with their ids, remove others, in one step, and return the number added."""
    ids = ids_of(gone)

    def noted(parts: Iterable[Embedded]) -> Iterator[Embedded]:
        for part in parts:
            ids.extend(sample.id for sample in part.samples)
            yield part

    with writing(folder):
        now = reload()
        now.manifest.encoder.check(encoder, folder)
        before = now.table
        spool = incoming.spooled(Table([], before.places), folder)
        added = noted(incoming.embedded(spool, encoder, folder))
        count = commit_added(folder, now, added, lambda: keys_of(sorted(set(before.find(ids).values()))))
        now = reload()  # another name for the old state would keep the pictures that are to go
        delete_unused(folder, now.table, uploads_of(folder, before, ids))
        if now.manifest.copies:
            tidy(folder, now)
    return count


def remove(folder: Path, ids: Iterable[str], reload: Reload) -> int:
    """Remove samples by id, all or none, and return the number removed.

    An id that is not there is taken for the one whose accents are written otherwise.

    Raises:
      SampleError: one of them is not there.
    """
    wanted = set(ids_of(ids))
    with writing(folder):
        now = reload()
        keys = now.table.find(sorted({spelling for id in wanted for spelling in spellings(id)}))
        chosen = {id: next((spelling for spelling in spellings(id) if spelling in keys), id) for id in wanted}
        wanted = set(chosen.values())
        if unknown := sorted(wanted - keys.keys()):
            listed = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            raise SampleError(f"{len(unknown)} of the ids are not in {folder}: {listed}; nothing was removed")
        if wanted:
            sent = uploads_of(folder, now.table, wanted)
            unused = commit_removed(folder, now, keys_of(sorted(keys[id] for id in wanted)))
            now = reload()
            delete_unused(folder, now.table, sent)
            if now.manifest.copies:
                tidy(folder, now, unused)
    return len(wanted)
