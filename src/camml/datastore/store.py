"""The datastore as its users see it."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from camml.datastore import changes
from camml.datastore import manifest as manifests
from camml.datastore.changes import Incoming
from camml.datastore.embedding import Embed, embed
from camml.datastore.manifest import Manifest
from camml.datastore.passages import PassageVectors, is_compared
from camml.datastore.patches import PatchStore, patch_store
from camml.datastore.places import absolute, store_folder
from camml.datastore.searching import nearest, search_identifiers
from camml.datastore.snapshot import Snapshot, load
from camml.datastore.table import OnBad, refuse
from camml.encoders import Encoder, Patches, Vectors
from camml.errors import EmptyStoreError, EncoderMismatchError, OptionError, StoreError
from camml.progress import Progress
from camml.stores import keys_of
from camml.types import Context, Sample, Where


class Datastore:
    """Samples under stable ids, searched by image and by text vectors.

    A change is seen whole or not at all, by this process and by all others, whatever ends it. An open datastore is a
    view of one generation: it does not change under a search, and `reload` brings it up to date.

    Args:
      path: its folder; none for one that can only be read.
      snapshot: what it holds.
      encoder: what made its vectors; only `add` needs it.

    Example:
      >>> from camml import Sample, encoders
      >>> encoder = encoders.load("hashed")
      >>> store = Datastore.build("store", [Sample("pump-7", "The pump needs seal 4711.")], encoder)
      >>> store.add([Sample("lamp-2", "The lamp needs a bulb.")])
      1
      >>> [[nearest]] = store.search(encoder.embed_texts(["a bulb for the lamp"]), "text", 1)
      >>> nearest.sample.id
      'lamp-2'
    """

    def __init__(self, path: Path | None, snapshot: Snapshot, encoder: Encoder | None = None) -> None:
        self.path = path and absolute(path)  # the working directory may change
        self.encoder = encoder
        self._snapshot = snapshot
        self._images: Path | None = None
        self._patches: PatchStore | None = None
        self._passages: PassageVectors | None = None

    @classmethod
    def build(
        cls,
        path: str | Path,
        samples: Iterable[Sample],
        encoder: Encoder,
        *,
        encoder_options: Mapping[str, Any] | None = None,
        images: str | Path | None = None,
        copy_images: bool = False,
        store: str = "faiss_index",
        batch_size: int = 32,
        embed: Embed = embed,
        on_bad: OnBad = refuse,
        progress: Progress | None = None,
    ) -> Self:
        """Build a new datastore of `samples` in the folder `path`.

        A build that was interrupted goes on where it stopped, when it is called again with the same samples. Samples
        are read once and wait on the disk; what is in memory at a time are their ids and the vectors of one part.

        Args:
          encoder_options: what `encoder` was loaded with, so that `open_store` can load it again.
          images: the folder that stored image paths are relative to (default: the one that `path` is in), so that
            the datastore can be moved together with its pictures. Images elsewhere are stored by absolute path. A
            datastore that was moved finds the pictures that moved with it, and those that stayed where they were.
          copy_images: keep a copy of each image inside the datastore.
          store: the kind of vector store, a file of `camml/stores`; for a served one with its address, such as
            `milvus://localhost:19530`.
          batch_size: samples embedded at a time, and at most lost by an interruption.
          embed: what makes the vectors: in this process, or on a cluster (`camml.distributed`).
          on_bad: called with each sample that cannot be used and the reason; it is left out. Default: raise the reason.
          progress: called with the number of samples done and of all samples.

        Raises:
          StoreError: there is a datastore at `path` already.
          OptionError: it is a file, or a folder that holds something else than what an interrupted build left.
          SampleError, ImageError: a sample cannot be used.
          DiskError: the disk is full or not writable.
        """
        path = store_folder(path)
        folder = Path(os.path.realpath(path))
        incoming = Incoming(samples, batch_size, embed, on_bad, progress)
        changes.build(folder, incoming, encoder, encoder_options, images=images, copy_images=copy_images, store=store)
        return cls.open(path, encoder)

    @classmethod
    def open(cls, path: str | Path, encoder: Encoder | None = None, *, images: str | Path | None = None) -> Self:
        """Return the datastore in the folder `path`.

        Its manifest is compared with its checksum, and each data file with the length recorded. A file whose time of
        modification is neither the one its writer recorded nor one at which its checksum was compared before, such as
        a copied or restored one, is read and compared, once: that is noted in the folder (in the user's cache where
        it is read-only). So no open but the first after a copy reads whole files, and a change that keeps length and
        time of a file is found by `verify` and `camml store check` alone. Pictures are not looked at.

        Args:
          encoder: what will embed queries and new samples, if already known.
          images: where the pictures are now, if they were moved.

        Raises:
          StoreNotFoundError: there is none.
          StoreCorruptedError: a file, which is named, is not as it was written.
          EncoderMismatchError: it was built with another encoder.
        """
        folder = store_folder(path)
        moved = absolute(images) if images else None
        if encoder:
            manifests.read(folder).encoder.check(encoder, folder)
        datastore = cls(folder, load(folder, moved), encoder)
        datastore._images = moved
        return datastore

    def reload(self) -> None:
        """Load what other processes have changed.

        Raises:
          EncoderMismatchError: the datastore was built anew with another encoder.
        """
        self._reloaded()

    def _reloaded(self) -> Snapshot:
        """Return the newest state; what `_snapshot` is later, another thread may have put there."""
        now = self._snapshot
        if self.path and (newest := manifests.read(self.path)) != now.manifest:
            made, before = newest.encoder, now.manifest.encoder
            if (made.name, made.revision) != (before.name, before.revision):
                raise EncoderMismatchError(
                    f"{self.path} was built anew with encoder {made.name!r} (revision {made.revision}) since it was "
                    "opened; open it again"
                )
            now = self._snapshot = load(self.path, self._images, now)
        return now

    @property
    def manifest(self) -> Manifest:
        """The record of what the datastore holds and how its vectors were made."""
        return self._snapshot.manifest

    def __len__(self) -> int:
        return len(self._snapshot.table)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._snapshot.table)

    def page(self, offset: int, limit: int) -> list[Sample]:
        """Return some samples in the order they were added, without reading those before them."""
        table = self._snapshot.table
        return [table.sample(key) for key in table.keys[offset : offset + limit].tolist()]

    def __contains__(self, sample_id: object) -> bool:
        return isinstance(sample_id, str) and bool(self._snapshot.table.find([sample_id]))

    def __getitem__(self, sample_id: str) -> Sample:
        """Return the sample of that id; raise KeyError where there is none."""
        table = self._snapshot.table
        return table.sample(table.find([sample_id])[sample_id])

    def get(self, sample_id: str) -> Sample | None:
        """Return the sample of that id; None where there is none, whatever other threads do meanwhile."""
        table = self._snapshot.table
        key = table.find([sample_id]).get(sample_id)
        return None if key is None else table.sample(key)

    def count(self, modality: str, where: Where | None = None) -> int:
        """Count the samples that have a vector of `modality` ("image" or "text"), and that `where` lets through."""
        snapshot = self._snapshot
        table, index = snapshot.table, snapshot.indexes.get(modality)
        if where is not None:
            return int(np.isin(table.keys_with(modality), table.chosen(where)).sum())
        return len(index) if index else 0

    def search(self, vectors: Vectors, modality: str, k: int, *, where: Where | None = None) -> list[Context]:
        """Find the k samples (or all there are) whose vectors of `modality` are nearest to each of float32[N, D].

        Args:
          where: values that the samples' `meta` must hold, or a function that says which samples may be found.

        Raises:
          OptionError: `k` is below 1.
          EmptyStoreError: there is nothing of that modality to find.
          EncoderMismatchError: the vectors have another width than the stored ones.
        """
        snapshot = self._snapshot  # another thread may reload
        table, index = snapshot.table, snapshot.indexes.get(modality)
        if k < 1:
            raise OptionError(f"k must be at least 1, not {k}")
        if index is None:
            holds = f"no {modality}s" if len(self) else "no samples"
            raise EmptyStoreError(f"the datastore {self._name} holds {holds}; add some with `camml store add`")
        if vectors.ndim != 2 or vectors.shape[1] != index.dim:
            raise EncoderMismatchError(
                f"the datastore {self._name} has {modality} vectors of width {index.dim}, the query has shape "
                f"{vectors.shape}; embed it with encoder {self.manifest.encoder.name!r}"
            )
        return nearest(snapshot, vectors, modality, k, None if where is None else table.chosen(where))

    def search_identifiers(
        self, identifiers: Collection[str], vector: Vectors, k: int, *, where: Where | None = None
    ) -> tuple[dict[str, float], Context]:
        """Find the k samples nearest to float32[D] among those whose texts hold most of some numbers and codes.

        Returns:
          How rare each of those is that stands in a text, as `words.rarity` has it, and the samples.
        """
        return search_identifiers(self._snapshot, identifiers, vector, k, where)

    def vectors(self, ids: Sequence[str], modality: str) -> dict[str, Vectors]:
        """Return the stored vector float32[D] of each of `ids` that exists and has one of `modality`."""
        snapshot = self._snapshot
        table, index = snapshot.table, snapshot.indexes.get(modality)
        keys = table.find(ids)
        if modality == "image":
            keys = {id: key for id, key in keys.items() if table.has_image(key)}
        if index is None or not keys:
            return {}
        return dict(zip(keys, index.vectors(keys_of(list(keys.values()))), strict=True))

    def patches(self, ids: Sequence[str], encoder: Encoder) -> dict[str, Patches]:
        """Return the patches of the pictures of those of `ids` that exist and have one; none if `encoder` compares
        none. They are computed where they are not kept beside the datastore.
        """
        store = self._patches
        if store is None or store.encoder is not encoder:
            store = self._patches = patch_store(self.path, encoder)
        if store is None:
            return {}
        table = self._snapshot.table  # which stays as it is, whatever is removed meanwhile
        keys = {name: key for name, key in table.find(ids).items() if table.has_image(key)}
        vectors = self.vectors(list(keys), "image")
        samples = {name: table.sample(keys[name]) for name in vectors}
        return store.get(samples, vectors, {name: table.picture_file(keys[name]) for name in vectors})

    def passages(self, ids: Sequence[str], encoder: Encoder) -> dict[str, Vectors]:
        """Return the vectors float32[P, D] of the P passages of each text of `ids` that is found by its passages, too.
        They are computed where they are not kept beside the datastore.
        """
        if self._passages is None or self._passages.encoder is not encoder:
            self._passages = PassageVectors(encoder, self.path)
        table = self._snapshot.table  # which stays as it is, whatever is removed meanwhile
        texts = {name: table.sample(key).text for name, key in table.find(ids).items()}
        texts = {name: text for name, text in texts.items() if is_compared(text)}
        return dict(zip(texts, self._passages.of(list(texts.values())), strict=True))

    def evenly_spaced_vectors(self, modality: str, most: int) -> Vectors:
        """Return float32[N, D]: at most `most` vectors of `modality`, evenly spaced among all; always the same ones."""
        snapshot = self._snapshot
        index = snapshot.indexes.get(modality)
        if index is None:
            return np.empty((0, 1), np.float32)
        return index.evenly_spaced_vectors(lambda: snapshot.table.keys_with(modality), most)

    def add(
        self,
        samples: Iterable[Sample],
        *,
        batch_size: int = 32,
        embed: Embed = embed,
        on_bad: OnBad = refuse,
        progress: Progress | None = None,
    ) -> int:
        """Add samples, all or none, and return the number added. Arguments and errors as in `build`.

        Raises:
          OptionError: the datastore was opened without its encoder.
          StoreLockedError: another process is writing.
          StoreError: a published index is read-only.
        """
        folder, encoder = self._writable(), self._encoder_for("add")
        incoming = Incoming(samples, batch_size, embed, on_bad, progress)
        count = changes.add(folder, incoming, encoder, self._reloaded)
        self.reload()
        return count

    def update(
        self,
        samples: Iterable[Sample],
        remove: Iterable[str] = (),
        *,
        batch_size: int = 32,
        embed: Embed = embed,
        on_bad: OnBad = refuse,
        progress: Progress | None = None,
    ) -> int:
        """Add samples in place of those with their ids, remove others, in one step, and return the number added.

        A sample stays as it was where the one that was to replace it cannot be used. Arguments and errors as in `add`;
        ids to `remove` that are not there are passed over.
        """
        folder, encoder = self._writable(), self._encoder_for("update")
        incoming = Incoming(samples, batch_size, embed, on_bad, progress)
        return changes.update(folder, incoming, remove, encoder, self._reloaded)

    def to_arrow(self, vectors: bool = False) -> Any:
        """Return all samples as a table of Arrow, whose `to_pandas()` is a data frame; see `camml.datastore.export`."""
        from camml.datastore.export import table_of

        return table_of(self, vectors)

    def remove(self, ids: Iterable[str]) -> int:
        """Remove samples by id, one or several, all or none, and return the number removed.

        Raises:
          SampleError: one of them is not there.
          StoreLockedError: another process is writing.
          StoreError: a published index is read-only.
        """
        return changes.remove(self._writable(), ids, self._reloaded)

    @property
    def _name(self) -> str:
        return str(self.path or "given")

    def _writable(self) -> Path:
        if self.path is None:
            raise StoreError(
                "an official index with its JSON can only be read; build a datastore from the JSON instead"
            )
        return Path(os.path.realpath(self.path))

    def _encoder_for(self, action: str) -> Encoder:
        if self.encoder is None:
            raise OptionError(f"the datastore {self._name} was opened without its encoder, which `{action}` needs")
        return self.encoder
