"""The samples of one file, by key and by id; a column is read when it is first needed."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from camml.datastore.picture_files import TYPE, PictureFile, as_column, from_column
from camml.datastore.places import Places
from camml.stores import Keys
from camml.types import Sample
from camml.words import identifier_pattern

SCHEMA = pa.schema(
    [
        pa.field("key", pa.int64(), nullable=False),
        pa.field("id", pa.large_string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("image", pa.large_string()),
        pa.field("meta", pa.large_string()),
        pa.field("file", TYPE),
    ]
)
"""The last column is that of the pictures' files when these were embedded; those of earlier versions lack it."""
FEW = 16
"""Up to so many ids are looked up one by one, in the sorted ids; for more, all ids are passed over once."""


class Rows:
    """Samples in order of key.

    Args:
      source: a table of SCHEMA, or an open Parquet file of one, which may lack the column `file`.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._columns: dict[str, Any] = {}
        self._reading = Lock()  # a Parquet file has one place that it reads from

    @classmethod
    def of(
        cls, samples: Sequence[Sample], first_key: int, places: Places, files: Sequence[PictureFile | None] = ()
    ) -> "Rows":
        """Return `samples` under keys from `first_key` on, with the paths of their images as `places` writes them.

        Args:
          files: of the picture of each sample; empty where that is not known.
        """
        columns = {
            "key": np.arange(first_key, first_key + len(samples), dtype=np.int64),
            "id": [sample.id for sample in samples],
            "text": [sample.text for sample in samples],
            "image": places.stored(sample.image for sample in samples),
            "meta": [json.dumps(dict(sample.meta), ensure_ascii=False) if sample.meta else None for sample in samples],
            "file": as_column(files or [None] * len(samples)),
        }
        return cls(pa.table(columns, schema=SCHEMA))

    @classmethod
    def open(cls, path: Path) -> "Rows":
        """Open what `write` wrote; the file may be removed from its folder afterwards."""
        return cls(pq.ParquetFile(path))

    @classmethod
    def joined(cls, parts: Sequence["Rows"], without: Keys) -> "Rows":
        """Join the samples of all parts, whose keys ascend from part to part, less those of the keys `without`."""
        tables = [part.whole().filter(pa.array(~np.isin(part.keys, without))) for part in parts]
        return cls(pa.concat_tables(tables).combine_chunks())

    def whole(self) -> Any:
        """Return all columns as a table of SCHEMA."""
        with self._reading:
            table = self._source if isinstance(self._source, pa.Table) else self._source.read()
        return table if self._knows_files else table.append_column(SCHEMA.field("file"), pa.nulls(len(table), TYPE))

    def write(self, path: Path) -> None:
        """Write all to one Parquet file."""
        pq.write_table(self.whole(), path, compression="zstd")

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def keys(self) -> Keys:
        """int64[N], ascending."""
        keys: Keys = as_numpy(self.column("key"), np.int64)
        return keys

    def column(self, name: str) -> Any:
        """Return one column as one contiguous array."""
        with self._reading:
            if name not in self._columns:
                is_table = isinstance(self._source, pa.Table)
                read = self._source[name] if is_table else self._source.read(columns=[name])[name]
                self._columns[name] = pa.concat_arrays(read.chunks) if read.num_chunks else pa.array([], read.type)
        return self._columns[name]

    def sample(self, key: int, places: Places) -> Sample:
        """Return the sample of a key that is there."""
        row = int(np.searchsorted(self.keys, key))
        sample_id, text, image, meta = (self.column(name)[row].as_py() for name in ("id", "text", "image", "meta"))
        path = places.find(image) if image is not None else None
        return Sample(sample_id, text, path, json.loads(meta) if meta else {})

    def find(self, ids: Sequence[str]) -> Mapping[str, int]:
        """Return the keys of those of `ids` that exist."""
        if len(ids) <= FEW:
            return {id: int(self.keys[row]) for id in ids for row in self._at(id)}
        import pyarrow.compute as pc  # one answer needs none of it

        places = pc.index_in(self.column("id"), value_set=pa.array(ids, pa.large_string()))
        rows = np.flatnonzero(as_numpy(places.is_valid(), np.bool))
        return {ids[places[row].as_py()]: int(self.keys[row]) for row in rows.tolist()}

    def with_image(self) -> Keys:
        """Return the keys of the samples that have an image."""
        keys: Keys = self.keys[as_numpy(self.column("image").is_valid(), np.bool)]
        return keys

    def keys_with_identifier(self, identifier: str) -> Keys:
        """Return the keys of the samples in whose text an identifier stands."""
        import pyarrow.compute as pc

        has_it = pc.match_substring_regex(self.column("text"), identifier_pattern(identifier), ignore_case=True)
        keys: Keys = self.keys[as_numpy(has_it, np.bool)]
        return keys

    def picture_file(self, key: int) -> PictureFile | None:
        """Return the file of the picture of an existing key when it was embedded; None where that is not known."""
        if not self._knows_files:
            return None
        row = int(np.searchsorted(self.keys, key))
        return from_column(self.column("file").slice(row, 1))[0]

    @property
    def _knows_files(self) -> bool:
        is_table = isinstance(self._source, pa.Table)
        return "file" in (self._source.schema if is_table else self._source.schema_arrow).names

    def has_image(self, key: int) -> bool:
        """Return True if the sample of an existing key has an image."""
        return bool(self.column("image")[int(np.searchsorted(self.keys, key))].is_valid)

    @cached_property
    def _order(self) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """The permutation that sorts the ids."""
        import pyarrow.compute as pc

        order: np.ndarray[Any, np.dtype[np.uint64]] = as_numpy(pc.sort_indices(self.column("id")), np.uint64)
        return order

    def _at(self, sample_id: str) -> list[int]:
        """Return the row of an id as a list; an empty one if it does not exist."""
        ids, order = self.column("id"), self._order
        low, high = 0, len(order)
        wanted = sample_id.encode("utf-8", "surrogatepass")  # Arrow sorts by bytes
        while low < high:
            middle = (low + high) // 2
            if ids[int(order[middle])].as_py().encode() < wanted:
                low = middle + 1
            else:
                high = middle
        exists = low < len(order) and ids[int(order[low])].as_py() == sample_id
        return [int(order[low])] if exists else []


def as_numpy(array: Any, dtype: Any) -> Any:
    """Return an array of Arrow without nulls as one of numpy, read-only.

    Arrow's own `to_numpy` imports pandas where that is installed, which costs more processor time than all the rest of
    opening a datastore.
    """
    if len(array) == 0:
        return np.empty(0, dtype)
    if pa.types.is_boolean(array.type):  # one bit each
        array = array.cast(pa.uint8())
    width = np.dtype(dtype).itemsize
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * width)
