"""Opening a datastore by name: a folder, or a FAISS file and its JSON as they were published."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from camml import encoders, formats, layouts, weights
from camml.datastore import manifest as manifests
from camml.datastore.manifest import EncoderRecord, Manifest
from camml.datastore.places import Places
from camml.datastore.rows import Rows
from camml.datastore.snapshot import Snapshot, file_view
from camml.datastore.store import Datastore
from camml.datastore.table import Table
from camml.encoders import Encoder
from camml.errors import EncoderMismatchError, StoreError, StoreNotFoundError
from camml.layouts import Layout
from camml.stores import keys_of
from camml.stores.faiss_index import Store
from camml.types import Sample

OFFICIAL_ENCODER = "imagebind"

NO_PICTURES = "none"
"""What is given in place of a folder of pictures where there are none, and texts alone are to be used."""

logger = logging.getLogger("camml")


@dataclass(frozen=True, slots=True)
class _Pair:
    """The contents of the two files: a row of vectors for each sample with an image, then the other samples."""

    rows: Store
    with_image: list[Sample]
    others: list[Sample]
    root: Path


def open_official(
    index: str | Path, data_json: str | Path, images: str | Path | None = None, encoder: Encoder | None = None
) -> Datastore:
    """Return the datastore of a FAISS file with the JSON (`id`, `image`, `text`) of its rows, to be read only.

    Row n of the index belongs to the n-th entry that has an image.
    Source: the paper's public retriever, whose index has one ImageBind vector per image of the JSON, in order.

    Args:
      images: where the pictures are; by default they are looked for from the folder of the JSON, from those above it
        and from the working directory. "none" where there are no pictures, and none are looked for.

    Raises:
      StoreError: the two do not belong together, the index is of a kind that cannot be searched, or none of the
        pictures that are looked at (a few, from the first entry to the last) is there.
      SampleError: the JSON cannot be used.
      EncoderMismatchError: the encoder makes vectors of another length.

    Example:
      >>> import numpy as np
      >>> rows = Store(2)
      >>> rows.add(np.array([0]), np.eye(1, 2, dtype=np.float32))
      >>> rows.save(Path("vectors.index"))
      >>> _ = Path("data.json").write_text('[{"id": "pump-7", "image": "pump.jpg", "text": "The pump."}]')
      >>> [[nearest]] = open_official("vectors.index", "data.json").search(np.eye(1, 2, dtype=np.float32), "image", 1)
      >>> nearest.sample.id
      'pump-7'
    """
    return _open(_read_pair(Path(index), Path(data_json), images), Path(index), encoder)


def _read_pair(index: Path, data_json: Path, images: str | Path | None) -> _Pair:
    if not index.is_file():
        raise StoreNotFoundError(f"no index file at {index}")
    samples, root, missing, looked = _read_samples(data_json, images)
    _say_what_is_missing(data_json, missing, looked, images)
    with_image = [sample for sample in samples if sample.image]
    rows = Store.open(index)
    if len(rows) != len(with_image):
        raise StoreError(
            f"{index} has {len(rows)} rows and {data_json} has {len(with_image)} entries with an image; "
            "they do not belong together"
        )
    return _Pair(rows, with_image, [sample for sample in samples if not sample.image], root)


def _open(pair: _Pair, index: Path, encoder: Encoder | None) -> Datastore:
    dim, samples = pair.rows.dim, [*pair.with_image, *pair.others]
    if encoder and encoder.image_dim != dim:
        raise EncoderMismatchError(
            f"the vectors in {index} have {dim} numbers, those of the encoder {encoder.name!r} {encoder.image_dim}; "
            "name the encoder that made them with --encoder (`camml serve` opens those of imagebind only)"
        )
    record = EncoderRecord.of(encoder) if encoder else EncoderRecord(OFFICIAL_ENCODER, "official", dim, dim, True)
    counts = {"samples": len(samples), "image": len(pair.rows), "text": 0}
    places = Places(pair.root)
    manifest = Manifest(record, images=str(pair.root), counts=counts, next_key=len(samples))
    indexes = {"image": file_view(dim, len(pair.rows), [pair.rows], keys_of(()))} if len(pair.rows) else {}
    table = Table([Rows.of(samples, 0, places)], places)
    return Datastore(None, Snapshot(manifest, table, indexes), encoder)


def official_samples(data_json: str | Path) -> list[Sample]:
    """Return the samples of a published JSON, with their pictures where these are, if anywhere.

    Raises:
      SampleError: the JSON cannot be used.
    """
    return _read_samples(Path(data_json), None)[0]


def _read_samples(data_json: Path, images: str | Path | None) -> tuple[list[Sample], Path, list[str], int]:
    """Return (samples, image root, missing names, number checked); only a spread of the pictures is checked."""
    given = None if images is None or str(images) == NO_PICTURES else images
    root = layouts.roots(data_json, given)[0]
    if str(images) == NO_PICTURES:
        return list(formats.read(data_json, mend_ids=True)), root, [], 0  # published ids may repeat
    some = islice(formats.read(data_json, images=root, mend_ids=True), layouts.LOOKED_AT)
    root = layouts.choose(data_json, _names(some, root), given).root
    samples = list(formats.read(data_json, images=root, mend_ids=True))
    looked = _names(layouts.spread([sample for sample in samples if sample.image]), root)
    layout = Layout(root)
    missing = [name for name in looked if layout.find(name) is None]
    if missing:  # the first entries may be of a kind that is not here, or the folders may have been moved
        other = layouts.choose(data_json, looked, given)
        if other.count(looked) > len(looked) - len(missing):
            layout, missing = other, [name for name in looked if other.find(name) is None]
            placed = {name: layout.place(name) for name in _names(samples, root)}
            samples = [replace(s, image=placed[_name(s.image, root)]) if s.image else s for s in samples]
    return samples, layout.root, missing, len(looked)


def _names(samples: Iterable[Sample], root: Path) -> list[str]:
    return [_name(sample.image, root) for sample in samples if sample.image]


def _name(image: Path, root: Path) -> str:
    """Return the path of a picture as the JSON has it."""
    return str(image.relative_to(root) if image.is_relative_to(root) else image)


def _say_what_is_missing(data_json: Path, missing: Sequence[str], looked: int, given: str | Path | None) -> None:
    """Raise or warn about pictures that are not there.

    Raises:
      StoreError: all that were looked at are missing.
    """
    if not missing:
        return
    if len(missing) < looked:
        logger.warning(
            "%d of the %d pictures of %s that were looked at are not there, such as %s; "
            "`camml store info --store INDEX_FILE:DATA_JSON --verify` looks at all",
            len(missing), looked, data_json, missing[0],
        )  # fmt: skip
        return
    places = ", ".join(str(place) for place in layouts.roots(data_json, given))
    raise StoreError(
        f"of the pictures that {data_json} names none of the {looked} looked at is there, such as {missing[0]}; they "
        f"were looked for from {places}; give the folder that they start from with --store-images DIR, or "
        f"--store-images {NO_PICTURES} to use the texts alone"
    )


def missing_pictures(datastore: Datastore) -> list[Sample]:
    """Return the samples whose pictures are not there, after looking for every one."""
    return [sample for sample in datastore if sample.image and not os.path.isfile(sample.image)]


def check_pictures(name: str, datastore: Datastore, images: str | Path | None = None) -> None:
    """Raise if the published pair called `name` has pictures that are not there, after looking for every one.

    Nothing is looked for where `images` is "none".

    Raises:
      StoreError: one is missing.
    """
    if str(images) != NO_PICTURES and official_pair(name) and (missing := missing_pictures(datastore)):
        raise StoreError(
            f"{len(missing)} pictures of {name} are not there, such as {missing[0].image} of the sample "
            f"{missing[0].id!r}; bring them, or give the folder they start from with --store-images DIR"
        )


def open_store(
    name: str,
    encoder_name: str | None = None,
    encoder_options: Mapping[str, Any] | None = None,
    images: str | Path | None = None,
) -> tuple[Datastore, Encoder]:
    """Return the datastore called `name` on a command line, and the encoder that its queries need.

    Args:
      name: a folder, or `INDEX_FILE:DATA_JSON`.
      encoder_name: the encoder to open it with, where it is not the one recorded (`imagebind` for a FAISS file).
      encoder_options: what to load it with, where these are not the options recorded.
      images: where its pictures are, if not where it says; "none" for a published pair without any.

    Raises:
      StoreNotFoundError, StoreCorruptedError, EncoderMismatchError: as `Datastore.open`.

    Example:
      >>> from camml import Datastore, Sample
      >>> built = Datastore.build("store", [Sample("pump-7", "The pump needs seal 4711.")], encoders.load("hashed"))
      >>> store, encoder = open_store("store")
      >>> len(store), encoder.name
      (1, 'hashed')
    """
    if pair := official_pair(name):
        read = _read_pair(*pair, images)  # before the encoder, which takes long to load
        encoder = encoders.load(encoder_name or OFFICIAL_ENCODER, **(encoder_options or {}))
        return _open(read, pair[0], encoder), encoder
    record = manifests.read(Path(name)).encoder
    options = record.options if encoder_options is None and encoder_name in (None, record.name) else encoder_options
    encoder = encoders.load(encoder_name or record.name, **_with_shipped_files(options or {}))
    return Datastore.open(name, encoder, images=None if str(images) == NO_PICTURES else images), encoder


def _with_shipped_files(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in which a file that is gone is that of its name in the model that comes with this package.

    A datastore is opened after a new installation too, or from another clone. Whether the file is the right one is
    checked when the datastore is opened with what was loaded.
    """
    return {name: _shipped(value) if isinstance(value, str) else value for name, value in options.items()}


def _shipped(value: str) -> str:
    path = Path(value)
    if not path.is_absolute() or path.exists():
        return value
    shipped = weights.folder(weights.DEFAULT_MODEL) / path.name
    return str(shipped) if shipped.is_file() else value


def official_pair(name: str) -> tuple[Path, Path] | None:
    """Return the two files of `INDEX_FILE:DATA_JSON`; nothing where `name` is not of that form."""
    index, colon, data_json = name.rpartition(":")
    if not colon or Path(name).exists():
        return None
    return Path(index), Path(data_json)
