"""Samples as rows of an Arrow table: key, id, text, image, meta."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from camml.errors import InputError, OptionError, SampleError
from camml.stores import Keys
from camml.types import Sample, Where

SCHEMA = pa.schema(
    [
        pa.field("key", pa.int64(), nullable=False),
        pa.field("id", pa.large_string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("image", pa.large_string()),
        pa.field("meta", pa.large_string()),
    ]
)


class Table:
    """The living samples, by key, by id and by row; rows are in order of key.

    Args:
      rows: a table of SCHEMA.
      root: the folder that image paths are relative to.
    """

    def __init__(self, rows: Any, root: Path) -> None:
        self.rows = rows.combine_chunks()
        self.root = root
        self.keys: Keys = self.rows["key"].to_numpy().astype(np.int64, copy=False)
        self._columns = [_single(self.rows[name]) for name in ("id", "text", "image", "meta")]
        self._chosen: dict[str, Keys] = {}

    @classmethod
    def of(cls, samples: Sequence[Sample], first_key: int, root: Path) -> "Table":
        """`samples` under keys from `first_key` on; images below `root` are stored relative to it."""
        columns = {
            "key": np.arange(first_key, first_key + len(samples), dtype=np.int64),
            "id": [sample.id for sample in samples],
            "text": [sample.text for sample in samples],
            "image": [sample.image and _relative(sample.image, root) for sample in samples],
            "meta": [json.dumps(dict(sample.meta), ensure_ascii=False) if sample.meta else None for sample in samples],
        }
        return cls(pa.table(columns, schema=SCHEMA), root)

    @classmethod
    def read(cls, paths: Sequence[Path], root: Path) -> "Table":
        """The rows of some files."""
        tables = [pq.ParquetFile(path).read() for path in paths]
        return cls(pa.concat_tables(tables) if tables else SCHEMA.empty_table(), root)

    def write(self, path: Path) -> None:
        """Write all rows to one Parquet file."""
        pq.write_table(self.rows, path, compression="zstd")

    def without(self, keys: Keys) -> "Table":
        """The table less the rows of `keys`."""
        return Table(self.rows.filter(pa.array(~np.isin(self.keys, keys))), self.root) if len(keys) else self

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Sample]:
        return (self.sample(row) for row in range(len(self)))

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """The row of each id."""
        return {sample_id: row for row, sample_id in enumerate(self._columns[0].to_pylist())}

    def has(self, modality: str, row: int) -> bool:
        """Whether the sample in one row has a vector of `modality`."""
        return modality == "text" or bool(self._columns[2][row].is_valid)

    def keys_with(self, modality: str) -> Keys:
        """The keys of the samples that have a vector of `modality`: all have a text, some an image."""
        return (
            self.keys[self._columns[2].is_valid().to_numpy(zero_copy_only=False)] if modality == "image" else self.keys
        )

    def rows_of(self, keys: Keys) -> Keys:
        """int64[N]: the rows of `keys`, all of which are there."""
        rows: Keys = np.searchsorted(self.keys, keys)
        return rows

    def sample(self, row: int) -> Sample:
        """The sample in one row."""
        sample_id, text, image, meta = (column[row].as_py() for column in self._columns)
        path = self.root / image if image is not None else None
        return Sample(sample_id, text, path, json.loads(meta) if meta else {})

    def chosen(self, where: Where) -> Keys:
        """The keys of the samples that `where` lets through.

        Raises:
          OptionError: it asks for something that no sample's `meta` has.
        """
        if not isinstance(where, Mapping):
            keys: Keys = self.keys[np.fromiter(map(where, self), dtype=bool, count=len(self))]
            return keys
        name = json.dumps(dict(where), sort_keys=True, default=str)
        if name not in self._chosen:
            self._chosen[name] = self._matching(where)
        return self._chosen[name]

    def _matching(self, where: Mapping[str, Any]) -> Keys:
        metas = [json.loads(meta) if meta else {} for meta in self._columns[3].to_pylist()]
        there = {key for meta in metas for key in meta}
        if metas and (unknown := sorted(set(where) - there)):
            choices = f"they have: {', '.join(sorted(there))}" if there else "they have none at all"
            raise OptionError(f"no sample has {', '.join(map(repr, unknown))} among its metadata; {choices}")
        fits = [all(_matches(meta.get(key), want) for key, want in where.items()) for meta in metas]
        keys: Keys = self.keys[np.asarray(fits, dtype=bool)]
        return keys


OnBad = Callable[[Sample, InputError], None]
"""What is called with a sample that cannot be used and the reason; the sample is then left out."""


def refuse(sample: Sample, error: InputError) -> None:
    """The `OnBad` that stops at the first bad sample."""
    raise error


def usable(samples: Iterable[Sample], known: Mapping[str, int], on_bad: OnBad = refuse) -> list[Sample]:
    """The samples that can be stored beside those whose ids are in `known` (id -> row)."""
    kept: list[Sample] = []
    places: dict[str, int] = {}
    for place, sample in enumerate(samples, start=1):
        problem = _problem(sample)
        if sample.id in known:
            problem = f"is there already, in row {known[sample.id] + 1} of the datastore; remove that one first"
        elif places.setdefault(sample.id, place) != place:
            problem = f"is there twice, the first time as sample {places[sample.id]}; ids must be unique"
        if problem:
            on_bad(sample, SampleError(f"sample {place} of the input (id {sample.id!r}) {problem}"))
        else:
            kept.append(sample)
    return kept


def _problem(sample: Sample) -> str | None:
    """Why a sample cannot be stored, if so."""
    if not sample.id or not sample.id.isprintable() or set(sample.id) & set("/\\"):
        return "has an id that is empty or holds a slash or an unprintable character; rename it"
    if not sample.text.strip():
        return "has no text; give it one, or leave it out"
    try:
        "".join((sample.text, json.dumps(dict(sample.meta), ensure_ascii=False), str(sample.image or ""))).encode()
    except UnicodeEncodeError:
        return "holds a character that is not Unicode (half of a surrogate pair); correct its text"
    except (TypeError, ValueError) as error:
        return f"has metadata that is not JSON: {error}"
    return None


def _relative(image: Path, root: Path) -> str:
    absolute = Path(os.path.abspath(image))
    return str(absolute.relative_to(root) if absolute.is_relative_to(root) else absolute)


def _matches(value: Any, want: Any) -> bool:
    """Equal, or equal as text (a command line has only text), or one of a list's values."""
    if isinstance(value, list) and not isinstance(want, list):
        return any(_matches(one, want) for one in value)
    return bool(value == want) or (isinstance(want, str) and value is not None and str(value) == want)


def _single(column: Any) -> Any:
    """One contiguous array of a column."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
