"""The neighbors of a whole dataset, computed ahead: a folder that training reads, so that no encoder runs in a step.

neighbors.parquet   a row for each query: its id, the rows of its neighbors in samples.parquet, their scores
samples.parquet     the samples that are a neighbor of anything
manifest.json       what the table was made from; written last, so a table is there whole or not at all
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL.Image import Image

from camml.durable import check_unoccupied, digest, disk_errors, write_file
from camml.errors import OptionError, StoreCorruptedError, StoreError, StoreNotFoundError
from camml.progress import Progress
from camml.types import Context, Neighbor, Query, Sample

FORMAT = "camml-neighbors"
MANIFEST, NEIGHBORS, SAMPLES, WORK = "manifest.json", "neighbors.parquet", "samples.parquet", "work"
PART_OF_WORK = re.compile(r"[0-9a-f]{16}-\d+")
"""Names of folders in `WORK`: the digest of an origin and a batch size."""

DIFFERENCES = {
    "dataset_hash": "other data",
    "queries": "other samples, or other pictures of theirs",
    "store_hash": "another datastore",
    "generation": "another state of the datastore",
    "encoder": "another encoder",
    "mode": "another mode",
    "k": "another k",
    "keep_duplicates": "--keep-duplicates",
    "policy": "another way of retrieval",
    "allow_none": "--allow-none",
}
"""Words for the difference of a table of another origin, by the attribute that differs."""

Retrieve = Callable[[Sequence[Query], int], list[Context]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some of the queries, and the file that their neighbors are written to."""

    path: Path
    queries: Sequence[Query]

    def write(self, retrieve: Retrieve, k: int) -> int:
        """Retrieve k neighbors of each query, write them down, and return the number of queries."""
        _write_chunk(self.path, self.queries, retrieve(self.queries, k))
        return len(self.queries)


Spread = Callable[[Sequence[Chunk], int], Iterator[int]]
"""Writes chunks, with k neighbors a query, wherever it likes; gives the number of queries of each that is done."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The inputs that a table was made from; two tables of one origin are equal.

    Attributes:
      dataset, store: paths, for people.
      dataset_hash, store_hash: of their content, for checks.
      generation: of the store.
      encoder: its name and revision.
      mode: of retrieval.
      k: the most neighbors a query has.
      keep_duplicates: whether near-duplicates of a sample may be its neighbors.
      policy: of retrieval (`camml.retriever.POLICY`); 1 in tables that do not say.
      queries: a hash of their ids and of the sizes and times of their pictures, which `compute` writes down; empty in
        tables that do not say.
      allow_none: whether a query without what the mode searches by has no neighbors, instead of being an error.
    """

    dataset: str
    dataset_hash: str
    store: str
    store_hash: str
    generation: int
    encoder: str
    mode: str
    k: int
    keep_duplicates: bool = False
    policy: int = 1
    queries: str = ""
    allow_none: bool = False

    @property
    def digest(self) -> str:
        """A name for unfinished work of this origin; the paths do not count."""
        facts = {name: value for name, value in asdict(self).items() if name not in ("dataset", "store")}
        for name in ("queries", "allow_none"):  # a table that does not say has the digest that it always had
            if not facts[name]:
                del facts[name]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


class NeighborTable:
    """The neighbors of the samples of one dataset.

    Args:
      path: the folder, for messages.
      origin: what they were computed from.
      rows: a column `id`, and lists `rows` and `scores`.
      samples: the neighbors, a row each.
    """

    def __init__(self, path: Path, origin: Origin, rows: pa.Table, samples: pa.Table) -> None:
        self.path = path
        self.origin = origin
        self._rows, self._scores = rows["rows"].combine_chunks(), rows["scores"].combine_chunks()
        self._samples = {name: samples[name].combine_chunks() for name in ("id", "text", "image")}
        self._row_of = {name: row for row, name in enumerate(rows["id"].to_pylist())}

    @classmethod
    def open(
        cls, path: str | Path, *, dataset_hash: str | None = None, store_hash: str | None = None
    ) -> "NeighborTable":
        """Open the table in the folder `path`.

        Args:
          dataset_hash, store_hash: what it must have been made from, where that is known.

        Raises:
          StoreNotFoundError: there is no finished table.
          StoreCorruptedError: a file is not as it was written.
          StoreError: it was made from another dataset or store.
        """
        folder = Path(path)
        manifest = _read_manifest(folder)
        origin = Origin(**manifest["origin"])
        for kind, wanted, made in (
            ("dataset", dataset_hash, origin.dataset_hash),
            ("store", store_hash, origin.store_hash),
        ):
            if wanted is not None and wanted != made:
                raise StoreError(
                    f"the neighbors in {folder} were computed from another {kind} "
                    f"({getattr(origin, kind)}, content {made[:12]}) than the one given "
                    f"(content {wanted[:12]}); run `camml neighbors` again"
                )
        for name, checksum in manifest["files"].items():
            if not (folder / name).is_file() or digest(folder / name) != checksum:
                raise StoreCorruptedError(f"{folder / name} is missing or not as it was written; compute it again")
        return cls(folder, origin, pq.read_table(folder / NEIGHBORS), pq.read_table(folder / SAMPLES))

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def ids(self) -> list[str]:
        """The ids of the samples, in their order."""
        return list(self._row_of)

    def __contains__(self, sample_id: object) -> bool:
        return sample_id in self._row_of

    def context(self, sample_id: str, most: int | None = None) -> Context:
        """Return the neighbors of the sample `sample_id`, nearest first, at most `most` of them.

        Raises:
          StoreError: the table does not have that sample.
        """
        if sample_id not in self._row_of:
            raise StoreError(f"the neighbors in {self.path} have no sample {sample_id!r}; run `camml neighbors` again")
        row = self._row_of[sample_id]
        pairs = zip(self._rows[row].as_py()[:most], self._scores[row].as_py(), strict=False)
        return tuple(Neighbor(self._sample(number), score) for number, score in pairs)

    def images(self) -> list[Path]:
        """Return where the images of all samples are that are a neighbor of anything."""
        return [Path(image) for image in self._samples["image"].to_pylist() if image is not None]

    def _sample(self, row: int) -> Sample:
        name, text, image = (self._samples[column][row].as_py() for column in ("id", "text", "image"))
        return Sample(name, text, None if image is None else Path(image))


def compute(
    queries: Sequence[Query],
    retrieve: Retrieve,
    target: str | Path,
    origin: Origin,
    *,
    batch_size: int = 256,
    spread: Spread | None = None,
    progress: Progress | None = None,
) -> NeighborTable:
    """Compute the neighbors of all `queries` into the folder `target`; a run that was killed is resumed.

    The folder must be new, empty, or hold what such a run left.

    Args:
      queries: each with an `id`, so that it never finds itself or a near-duplicate.
      retrieve: contexts of queries, at most so many neighbors each.
      batch_size: queries retrieved at a time, and at most lost by a kill.
      spread: what works on the chunks, instead of `retrieve` in this process (`camml.distributed`).
      progress: called with the number of queries done and of all.

    Raises:
      OptionError: a setting out of range, a query without an id, or something else is at `target`.
      StoreError: there is a table of another origin at `target`, or its unfinished work was taken away or replaced.
    """
    folder = Path(target)
    origin = replace(origin, queries=_hash_of(queries))
    if origin.k < 1 or batch_size < 1:
        raise OptionError(f"k and the batch size must be at least 1, not {origin.k} and {batch_size}")
    if not queries or any(query.id is None for query in queries):
        raise OptionError("neighbors are computed for samples with an id; the dataset has none, or one without")
    if (folder / MANIFEST).exists():
        return _same(NeighborTable.open(folder), origin, queries)
    check_place(folder)
    work = folder / WORK / f"{origin.digest}-{batch_size}"
    chunks = [
        Chunk(work / f"{start:09}.json", queries[start : start + batch_size])
        for start in range(0, len(queries), batch_size)
    ]
    missing = [chunk for chunk in chunks if not chunk.path.exists()]
    done = len(queries) - sum(len(chunk.queries) for chunk in missing)
    for count in spread(missing, origin.k) if spread else (chunk.write(retrieve, origin.k) for chunk in missing):
        done += count
        if progress:
            progress(done, len(queries))
    _finish(folder, origin, chunks)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return NeighborTable.open(folder)


def _hash_of(queries: Sequence[Query]) -> str:
    """Return a hash of the ids of queries, and of the sizes and times of their pictures: paths may change."""
    total = hashlib.sha256()
    for query in queries:
        total.update(json.dumps([query.id, _state_of(query.image)]).encode())
    return total.hexdigest()


def _state_of(image: Path | Image | None) -> list[Any] | None:
    if image is None:
        return None
    if not isinstance(image, Path):
        return [image.mode, image.size, hashlib.sha256(image.tobytes()).hexdigest()]
    try:
        state = image.stat()
    except OSError:  # whether that matters is for what retrieves to say
        return []
    return [state.st_size, state.st_mtime_ns]


def _same(table: NeighborTable, origin: Origin, queries: Sequence[Query]) -> NeighborTable:
    """Return a finished table if it is of `origin`.

    Raises:
      StoreError: it is of another one.
    """
    made = table.origin
    if not made.queries and table.ids == [query.id for query in queries]:  # of before tables said more of them
        origin = replace(origin, queries="", allow_none=made.allow_none)
    differing = [words for name, words in DIFFERENCES.items() if getattr(made, name) != getattr(origin, name)]
    if differing:
        raise StoreError(
            f"{table.path} holds neighbors computed from something else ({', '.join(differing)}); choose another "
            "folder, or remove it"
        )
    return table


def check_place(folder: Path) -> None:
    """Raise if a folder without a table holds anything that an interrupted computation did not leave there.

    Raises:
      OptionError: it holds something else, or is a file.
      DiskError: it cannot be read.
    """
    check_unoccupied(folder, "neighbors", _left)


def _left(path: Path) -> bool:
    """Return whether an interrupted computation left a file or a folder; it writes the tables while its work is there.

    Both tables may be there without: what writes a table anew takes away its manifest alone.
    """
    if path.name == WORK:
        return path.is_dir() and all(PART_OF_WORK.fullmatch(part.name) for part in path.iterdir())
    folder = path.parent
    whole = (folder / NEIGHBORS).exists() and (folder / SAMPLES).exists()
    return path.name in (NEIGHBORS, SAMPLES) and (whole or any((folder / WORK).glob("*-*")))


def _write_chunk(path: Path, queries: Sequence[Query], contexts: Sequence[Context]) -> None:
    rows = [
        {"id": query.id, "neighbors": [[n.sample.id, n.score] for n in context]}
        for query, context in zip(queries, contexts, strict=True)
    ]
    samples = {
        n.sample.id: [n.sample.text, None if n.sample.image is None else str(n.sample.image)]
        for context in contexts
        for n in context
    }
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)  # only now: a computation that fails at once leaves nothing
    write_file(path, json.dumps({"rows": rows, "samples": samples}, ensure_ascii=False).encode())


def _finish(folder: Path, origin: Origin, chunks: Sequence[Chunk]) -> None:
    """Join the chunks to the two tables, and commit them with the manifest."""
    place_of: dict[str, int] = {}
    samples: dict[str, list[str | None]] = {"id": [], "text": [], "image": []}
    rows: dict[str, list[Any]] = {"id": [], "rows": [], "scores": []}
    for content in _contents(chunks):
        for name, (text, image) in content["samples"].items():
            if name not in place_of:
                place_of[name] = len(place_of)
                for column, value in (("id", name), ("text", text), ("image", image)):
                    samples[column].append(value)
        for row in content["rows"]:
            rows["id"].append(row["id"])
            rows["rows"].append([place_of[name] for name, _ in row["neighbors"]])
            rows["scores"].append([score for _, score in row["neighbors"]])
    kinds = {"id": pa.string(), "rows": pa.list_(pa.int64()), "scores": pa.list_(pa.float64())}
    files = {
        NEIGHBORS: _write_table(folder / NEIGHBORS, pa.table(rows, pa.schema(list(kinds.items())))),
        SAMPLES: _write_table(
            folder / SAMPLES, pa.table(samples, pa.schema([(name, pa.string()) for name in samples]))
        ),
    }
    manifest = {"format": FORMAT, "version": 1, "count": len(rows["id"]), "origin": asdict(origin), "files": files}
    write_file(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False).encode())


def _contents(chunks: Sequence[Chunk]) -> Iterator[dict[str, Any]]:
    """Yield what is in the files of chunks.

    Raises:
      StoreError: a file is gone.
      StoreCorruptedError: a file is of other queries.
    """
    for chunk in chunks:
        try:
            content = json.loads(chunk.path.read_bytes())
        except FileNotFoundError:
            raise StoreError(
                f"{chunk.path} is gone, as where another run into that folder has ended; run `camml neighbors` again"
            ) from None
        if [row["id"] for row in content["rows"]] != [query.id for query in chunk.queries]:
            raise StoreCorruptedError(
                f"{chunk.path} holds the neighbors of other queries; remove {chunk.path.parent}, and run `camml "
                "neighbors` again"
            )
        yield content


def _write_table(path: Path, table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data = sink.getvalue().to_pybytes()
    write_file(path, data)
    return hashlib.sha256(data).hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        unfinished = " (a computation there was interrupted; run it again)" if (folder / WORK).is_dir() else ""
        raise StoreNotFoundError(f"no neighbors at {folder}{unfinished}; compute them with `camml neighbors`")
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        if manifest["format"] != FORMAT:
            raise KeyError("format")
    except (ValueError, KeyError, TypeError) as error:
        raise StoreCorruptedError(f"{path} is not a manifest of neighbors; give another folder") from error
    return manifest
