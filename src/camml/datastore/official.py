"""Opening a datastore by name: a folder, or a FAISS file and its JSON as they were published."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camml import encoders, formats
from camml.datastore import manifest as manifests
from camml.datastore.manifest import EncoderRecord, Manifest
from camml.datastore.places import Places, absolute
from camml.datastore.rows import Rows
from camml.datastore.snapshot import Snapshot, file_view
from camml.datastore.store import Datastore
from camml.datastore.table import Table
from camml.encoders import Encoder
from camml.errors import StoreError, StoreNotFoundError
from camml.stores import keys_of
from camml.stores.faiss_index import Store

OFFICIAL_ENCODER = "imagebind"


def open_official(
    index: str | Path, data_json: str | Path, images: str | Path | None = None, encoder: Encoder | None = None
) -> Datastore:
    """A FAISS file with the JSON (`id`, `image`, `text`) of its rows, to be read only.

    Row n of the index belongs to the n-th entry that has an image.
    Source: the paper's public retriever, whose index has one ImageBind vector per image of the JSON, in order.

    Raises:
      StoreError: the two do not belong together, or the index is of a kind that cannot be searched.
      SampleError: the JSON cannot be used.
    """
    index, data_json = Path(index), Path(data_json)
    if not index.is_file():
        raise StoreNotFoundError(f"no index file at {index}")
    samples = list(formats.read(data_json, images=images, mend_ids=True))  # published ids may repeat
    places = Places(absolute(images or data_json.parent))
    with_image = [sample for sample in samples if sample.image]
    rows = Store.open(index)
    if len(rows) != len(with_image):
        raise StoreError(
            f"{index} has {len(rows)} rows and {data_json} has {len(with_image)} entries with an image; "
            "they do not belong together"
        )
    others = [sample for sample in samples if not sample.image]
    dim = rows.dim
    record = EncoderRecord.of(encoder) if encoder else EncoderRecord(OFFICIAL_ENCODER, "official", dim, dim, True)
    counts = {"samples": len(samples), "image": len(rows), "text": 0}
    manifest = Manifest(record, images=str(places.root), counts=counts, next_key=len(samples))
    indexes = {"image": file_view(dim, len(rows), [rows], keys_of(()))} if len(rows) else {}
    table = Table([Rows.of(with_image + others, 0, places)], places)
    return Datastore(None, Snapshot(manifest, table, indexes), encoder)


def open_store(
    name: str,
    encoder_name: str | None = None,
    encoder_options: Mapping[str, Any] | None = None,
    images: str | Path | None = None,
) -> tuple[Datastore, Encoder]:
    """The datastore called `name` on a command line, and the encoder that its queries need.

    Args:
      name: a folder, or `INDEX_FILE:DATA_JSON`.
      encoder_name: the encoder to open it with, where it is not the one recorded (`imagebind` for a FAISS file).
      encoder_options: what to load it with, where these are not the options recorded.

    Raises:
      StoreNotFoundError, StoreCorruptedError, EncoderMismatchError: as `Datastore.open`.
    """
    if pair := official_pair(name):
        encoder = encoders.load(encoder_name or OFFICIAL_ENCODER, **(encoder_options or {}))
        return open_official(*pair, images=images, encoder=encoder), encoder
    record = manifests.read(Path(name)).encoder
    options = record.options if encoder_options is None and encoder_name in (None, record.name) else encoder_options
    encoder = encoders.load(encoder_name or record.name, **(options or {}))
    return Datastore.open(name, encoder, images=images), encoder


def official_pair(name: str) -> tuple[Path, Path] | None:
    """The two files of `INDEX_FILE:DATA_JSON`; nothing where `name` is not of that form."""
    index, colon, data_json = name.rpartition(":")
    if not colon or Path(name).exists():
        return None
    return Path(index), Path(data_json)
