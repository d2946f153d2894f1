"""Samples on their way into a datastore: checked as they are read, kept on the disk, read again in order."""

import json
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import pyarrow as pa
import pyarrow.parquet as pq

from camml.datastore.given import typed
from camml.datastore.table import OnBad, SampleFilter, Table, refuse
from camml.durable import disk_errors
from camml.types import Sample

GROUP = 8192
"""Samples kept in memory before they go to the disk, and read from there at a time."""
CACHED = 2
"""Groups kept in memory: a batch may lie in two."""
SCHEMA = pa.schema([(name, pa.large_string()) for name in ("id", "text", "image", "meta")])


class Spool(Sequence[Sample]):
    """The samples that can be stored, of which only a few thousand are in memory.

    The rest is in a file without a name, which is gone when it is closed, however the process ends.

    Args:
      samples: read once, to their end.
      there: the samples of the datastore that they will join.
      folder: where the file is; made when there is need for one.
      on_bad: called with each sample that cannot be stored.
    """

    def __init__(self, samples: Iterable[Sample], there: Table, folder: Path, on_bad: OnBad = refuse) -> None:
        self._file: Any = None
        self._writer: Any = None
        self._reader: Any = None
        self._groups = 0
        self._cache: OrderedDict[int, list[Sample]] = OrderedDict()
        self._tail: list[Sample] = []
        usable, given = SampleFilter(there, on_bad), typed(samples, on_bad)
        while group := usable.of(given, GROUP - len(self._tail)):
            self._tail += group
            if len(self._tail) == GROUP:
                self._spill(folder)
        if self._writer:
            with disk_errors(folder):
                self._writer.close()
            self._reader = pq.ParquetFile(self._file)

    def _spill(self, folder: Path) -> None:
        with disk_errors(folder):
            if self._writer is None:
                folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
                self._writer = pq.ParquetWriter(self._file, SCHEMA, compression="zstd")
            self._writer.write_table(pa.Table.from_pylist(list(map(_row, self._tail)), SCHEMA), row_group_size=GROUP)
        self._groups += 1
        self._tail = []

    def __len__(self) -> int:
        return self._groups * GROUP + len(self._tail)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Return one sample, or the list of a range without a step."""
        if isinstance(index, int):
            place = range(len(self))[index]
            return self._group(place // GROUP)[place % GROUP]
        start, stop, _ = index.indices(len(self))
        samples: list[Sample] = []
        while start < stop:
            number, first = divmod(start, GROUP)
            samples += self._group(number)[first : first + stop - start]
            start = (number + 1) * GROUP
        return samples

    def _group(self, number: int) -> list[Sample]:
        if number == self._groups:
            return self._tail
        if number not in self._cache:
            while len(self._cache) >= CACHED:
                self._cache.popitem(last=False)
            self._cache[number] = list(map(_sample, self._reader.read_row_group(number).to_pylist()))
        return self._cache[number]


def _row(sample: Sample) -> dict[str, str | None]:
    meta = json.dumps(dict(sample.meta), ensure_ascii=False) if sample.meta else None
    image = None if sample.image is None else str(sample.image)
    return {"id": sample.id, "text": sample.text, "image": image, "meta": meta}


def _sample(row: dict[str, str]) -> Sample:
    image = None if row["image"] is None else Path(row["image"])
    return Sample(row["id"], row["text"], image, json.loads(row["meta"]) if row["meta"] else {})
