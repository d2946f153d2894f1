"""Vectors in Milvus: a file (Milvus Lite), a server or a cluster, told apart by the address alone.

`milvus://HOST:PORT`, `milvus://https://HOST`, or `milvus://PATH/NAME.db` for a file; `?index=HNSW` asks the server for
an approximate index (default FLAT, which is exact). A user name and password, or a token, come from the environment
variable `CAMML_MILVUS_TOKEN` ("user:password" or an API key), never from the address, which is written down.
"""

import logging
import os
from collections.abc import Iterator
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from camml.errors import OptionError, StoreError
from camml.stores import Keys, Scores, Vectors, in_chunks, keys_of
from camml.stores._exact import best, check_new, exact_best, nothing

KEY, VECTOR = "id", "vector"
MOST = 16_384
"""The most rows that Milvus returns for a query. Source: Milvus limits, `topk` of a search."""
NAMED = 10_000
"""Keys named in one filter."""
QUERIES = 256
BYTES = 4 << 20
"""Vectors sent or fetched at a time; the server refuses messages above 64 MB."""
SECONDS = 60
"""The time a request may take; a search gets a second more for each query."""
LOADING = 600
"""Seconds in which a server reads a collection into its memory, or writes one to the disk."""
TOKEN = "CAMML_MILVUS_TOKEN"


def location(text: str) -> str:
    """Return the address as it is stored: a URL, or the absolute path of a file, with its options.

    Raises:
      OptionError: it is none, or holds a password.
    """
    address, question, options = text.partition("?")
    if not address or "@" in address:
        why = "holds a password; put it into the environment variable " + TOKEN if address else "names no place"
        raise OptionError(f"the Milvus address {text!r} {why}; write milvus://HOST:PORT or milvus://PATH/NAME.db")
    if address.endswith(".db"):
        address = str(Path(address).absolute())
    elif "://" not in address:
        address = f"http://{address}"
    return address + question + options


class Store:
    """A `ServedStore`: one Milvus collection with the fields `id` and `vector`."""

    def __init__(self, client: Any, name: str, dim: int, in_file: bool = False) -> None:
        self.dim = dim
        self._client, self._name, self._in_file = client, name, in_file

    @classmethod
    def connect(cls, location: str, name: str, dim: int) -> Self:
        """Connect to the collection `name` at `location`, made where it is not there yet.

        Raises:
          StoreError: the place cannot be reached, or pymilvus is not installed.
          OptionError: the address has an option that is not known.
        """
        address, _, options = location.partition("?")
        chosen = dict(part.split("=", 1) for part in options.split("&") if "=" in part)
        if unknown := sorted(set(chosen) - {"index"}):
            raise OptionError(f"the Milvus address {location!r} has the unknown option {unknown[0]!r}; there is: index")
        if in_file := address.endswith(".db"):
            address = os.path.realpath(address)  # however it is spelled, it is one file, which lets in one client
        store = cls(_client(address), name, dim, in_file)
        with _failures(address):
            if store._client.has_collection(name):
                store._client.load_collection(name)  # Milvus Lite has it on the disk alone in a new process
            else:
                store._make(chosen.get("index", "FLAT").upper())
        return store

    def _make(self, index: str) -> None:
        kinds = import_module("pymilvus").DataType
        schema = self._client.create_schema(auto_id=False)
        schema.add_field(KEY, kinds.INT64, is_primary=True)
        schema.add_field(VECTOR, kinds.FLOAT_VECTOR, dim=self.dim)
        plan = self._client.prepare_index_params()
        plan.add_index(VECTOR, index_type=index, metric_type="IP", params=_BUILDING.get(index, {}))
        # "Strong": what one process has committed, all others find, at once
        self._client.create_collection(self._name, schema=schema, consistency_level="Strong")
        # not with the collection: pymilvus would wait for an index of nothing, and ask for the time without a limit
        self._client.create_index(self._name, plan, sync=False)
        self._client.load_collection(self._name)

    def __len__(self) -> int:
        with _failures(self._name):
            return int(self._client.query(self._name, filter="", output_fields=["count(*)"])[0]["count(*)"])

    def keys(self, first: int = 0) -> Keys:
        """Return all keys from `first` on, in ascending order."""
        keys: list[int] = []
        with _failures(self._name):
            last = first - 1
            while batch := self._next_keys(last):
                keys += batch
                last = batch[-1]
        return keys_of(keys)

    def _next_keys(self, last: int) -> list[int]:
        """Return some keys above `last`: every one up to the largest of them."""
        width = MOST
        while True:  # a query promises no order, but a range of keys that is not full is whole
            rows = self._client.query(
                self._name, filter=f"{KEY} > {last} and {KEY} <= {last + width}", output_fields=[KEY], limit=MOST
            )
            if rows:
                return sorted(int(row[KEY]) for row in rows)
            if not self._client.query(self._name, filter=f"{KEY} > {last + width}", output_fields=[KEY], limit=1):
                return []
            last += width

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add int64[N] keys with float32[N, D] vectors."""
        check_new(keys, vectors, self.dim, self._present(keys[keys >= 0]))
        rows = vectors.astype(np.float32, copy=False)
        with _failures(self._name):
            for part in self._parts(len(keys)):
                data = [{KEY: key, VECTOR: row} for key, row in zip(keys[part].tolist(), rows[part], strict=True)]
                self._client.insert(self._name, data)
            if self._in_file:  # Milvus Lite reads rows that are not yet in its files one by one, in every search
                self._client.flush(self._name)

    def remove(self, keys: Keys) -> int:
        """Remove those of `keys` that are there, and return their number."""
        present = self._present(np.unique(keys[keys >= 0]))
        with _failures(self._name):
            for some in in_chunks(present, NAMED):
                self._client.delete(self._name, ids=some.tolist())
        return len(present)

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """Find the k best for each query, as `VectorStore.search` says.

        Raises:
          OptionError: k is more than Milvus returns.
        """
        if k > MOST // 2:
            raise OptionError(f"Milvus gives at most {MOST // 2} neighbors at a time, not {k}; ask for fewer")
        if allowed is None:
            return self._exact_best(queries, k, MOST, "")
        scores, keys = nothing(len(queries), k)
        for some in in_chunks(allowed, NAMED):
            part = self._exact_best(queries, k, min(len(some), MOST), f"{KEY} in {some.tolist()}")
            for row in range(len(queries)):
                both = np.append(scores[row], part[0][row]), np.append(keys[row], part[1][row])
                there = both[1] >= 0
                scores[row], keys[row] = best(both[0][there], both[1][there], k)
        return scores, keys

    def _exact_best(self, queries: Vectors, k: int, limit: int, expression: str) -> tuple[Scores, Keys]:
        def candidates(some: Vectors, depth: int) -> tuple[Scores, Keys]:
            scores, keys = nothing(len(some), depth)
            with _failures(self._name):
                for start in range(0, len(some), QUERIES):
                    batch = list(some[start : start + QUERIES])
                    results = self._client.search(
                        self._name, batch, limit=depth, filter=expression, timeout=SECONDS + len(batch)
                    )
                    for row, hits in enumerate(results, start):
                        keys[row, : len(hits)] = [hit[KEY] for hit in hits]
                        scores[row, : len(hits)] = [hit["distance"] for hit in hits]
            new = np.setdiff1d(keys[keys >= 0], list(fetched))
            fetched.update(self._fetched(new, consistency_level="Eventually"))  # the search has waited for them
            fetched.update(self._fetched(np.setdiff1d(new, list(fetched))))  # but not on every replica
            return scores, keys

        fetched: dict[int, Vectors] = {}  # one request for all vectors of a batch
        return exact_best(queries, k, limit, candidates, lambda keys: self._stacked(fetched, keys))

    def holds(self, keys: Keys) -> NDArray[np.bool]:
        """Return bool[N]: which of `keys` are there."""
        return np.isin(keys, self._present(keys))

    def vectors(self, keys: Keys) -> Vectors:
        """Return float32[N, D]: what was added under `keys`.

        Raises:
          StoreError: one is not there.
        """
        return self._stacked(self._fetched(np.unique(keys)), keys)

    def _stacked(self, fetched: dict[int, Vectors], keys: Keys) -> Vectors:
        if missing := [key for key in keys.tolist() if key not in fetched]:
            raise StoreError(f"the Milvus collection {self._name} lacks the vector of key {missing[0]}; "
                             "see what is lost with `camml store check`")  # fmt: skip
        rows = [fetched[key] for key in keys.tolist()]
        return np.stack(rows) if rows else np.empty((0, self.dim), dtype=np.float32)

    def _fetched(self, keys: Keys, **how: str) -> dict[int, Vectors]:
        """Fetch the vectors of those of `keys` that are there."""
        vectors: dict[int, Vectors] = {}
        with _failures(self._name):
            for part in self._parts(len(keys)):
                for row in self._client.get(self._name, ids=keys[part].tolist(), output_fields=[VECTOR], **how):
                    vectors[int(row[KEY])] = np.asarray(row[VECTOR], dtype=np.float32)
        return vectors

    def _present(self, keys: Keys) -> Keys:
        present: list[int] = []
        with _failures(self._name):
            for start in range(0, len(keys), NAMED):
                rows = self._client.get(self._name, ids=keys[start : start + NAMED].tolist(), output_fields=[KEY])
                present += [int(row[KEY]) for row in rows]
        return keys_of(sorted(present))

    def drop(self) -> None:
        """Remove the collection and all that is in it."""
        with _failures(self._name):
            self._client.drop_collection(self._name)

    def _parts(self, count: int) -> Iterator[slice]:
        step = max(1, min(NAMED, BYTES // (4 * self.dim)))
        return (slice(start, start + step) for start in range(0, count, step))


_BUILDING: dict[str, dict[str, int]] = {"HNSW": {"M": 32, "efConstruction": 200}, "IVF_FLAT": {"nlist": 1024}}


@cache
def _client(address: str) -> Any:
    """Return the connection to an address, one for each process: a Milvus Lite file lets in no second one."""
    try:
        package = import_module("pymilvus")
    except ImportError as error:
        raise StoreError("Milvus needs the package pymilvus; install it with `pip install 'camml[milvus]'`") from error
    for name in ("pymilvus", "grpc._server"):  # they print tracebacks of what is reported, or harmless
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if address.endswith(".db"):
        Path(address).parent.mkdir(parents=True, exist_ok=True)
    with _failures(address):
        return _Limited(package.MilvusClient(address, token=os.environ.get(TOKEN, ""), timeout=SECONDS))


class _Limited:
    """A client each of whose requests ends after a time: its own `timeout` is for connecting alone."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        act = getattr(self._client, name)
        if name in ("load_collection", "flush"):
            return partial(act, timeout=LOADING)
        return act if name in _LOCAL else partial(act, timeout=SECONDS)


_LOCAL = ("create_schema", "prepare_index_params")
"""Methods of the client that send nothing to the server."""


class _failures:
    """A context that turns Milvus's errors into StoreErrors."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and type(error).__module__.split(".")[0] in ("pymilvus", "milvus_lite", "grpc"):
            said = " ".join(str(getattr(error, "message", error)).split())
            said = "it did not answer in time" if "DEADLINE_EXCEEDED" in said else said
            raise StoreError(f"Milvus ({self.place}) failed: {said}; is it running, and is no other process "
                             "using the file?") from error  # fmt: skip
