"""The interface of vector stores. A file in this folder is one: it defines a class `Store` with the methods below.

Stores in files (`FileStore`) keep their vectors in the folder of the datastore; a served store (`ServedStore`) keeps
them in a database at a location of its own, and its file has a function `location` too, which makes of the text behind
`KIND://` what is written down. A search is exact but for rounding: scores may be those that an engine computes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TypeGuard

import numpy as np
from numpy.typing import NDArray

from camml import plugins
from camml.errors import StoreError, UnknownNameError

Vectors = NDArray[np.float32]
Keys = NDArray[np.int64]
Scores = NDArray[np.float32]

ALIASES = {"faiss": "faiss_index"}
METHODS = ("__len__", "add", "remove", "search", "holds", "vectors")
IN_FILES = (*METHODS, "first", "save", "open")
SERVED = (*METHODS, "connect", "keys", "drop")
"""What a class `Store` must have, as the protocols below say."""


class VectorStore(Protocol):
    """Vectors under integer keys that never change, searched by inner product.

    Keys are chosen by the caller and never reused, so a removal shifts nothing.
    """

    dim: int

    def __len__(self) -> int: ...

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add int64[N] keys with float32[N, D] vectors."""
        ...

    def remove(self, keys: Keys) -> int:
        """Remove those of `keys` that are there, and return their number."""
        ...

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> tuple[Scores, Keys]:
        """Find the k best for each of float32[N, D]: scores float32[N, K] and keys int64[N, K], best first.

        Of equal scores the highest key comes first, in a datastore the newest sample: what was added to say more about
        a picture is found before what it adds to. Where there are fewer than k, the key is -1 and the score -inf.
        `allowed` limits the search to those keys.
        """
        ...

    def holds(self, keys: Keys) -> NDArray[np.bool]:
        """Return bool[N]: which of int64[N] `keys` are there."""
        ...

    def vectors(self, keys: Keys) -> Vectors:
        """Return float32[N, D]: what was added under int64[N] `keys`, all of which are there."""
        ...


class FileStore(VectorStore, Protocol):
    """A store that is a file."""

    def __init__(self, dim: int) -> None: ...

    def save(self, path: Path) -> None:
        """Write to one file (the caller makes it durable and atomic)."""
        ...

    def first(self) -> int:
        """Return its smallest key; -1 where it is empty."""
        ...

    @classmethod
    def open(cls, path: Path, *, mapped: bool = False) -> Self:
        """Read what `save` wrote; with `mapped`, only to be searched, and read from the disk as it is needed."""
        ...


class ServedStore(VectorStore, Protocol):
    """A store that a database holds."""

    @classmethod
    def connect(cls, location: str, name: str, dim: int) -> Self:
        """Connect to the collection `name` at `location`, made where it is not there yet."""
        ...

    def keys(self, first: int = 0) -> Keys:
        """Return all keys from `first` on, in ascending order."""
        ...

    def drop(self) -> None:
        """Remove the collection and all that is in it."""
        ...


def kind(name: str) -> Any:
    """Return the class `Store` of the file called `name`.

    Raises:
      UnknownNameError: there is no such file.
      StoreError: its class lacks a method, which is named, so that no later command breaks for it.

    Example:
      >>> kind("memory")(2).dim
      2
    """
    module = plugins.find("stores", name)
    store = getattr(module, "Store", None)
    if store is None:
        raise StoreError(f"{module.__file__} has no class Store; see camml/stores/__init__.py for what it must have")
    wanted = SERVED if hasattr(store, "connect") else IN_FILES
    missing = [method for method in wanted if not callable(getattr(store, method, None))]
    if wanted is SERVED and not hasattr(module, "location"):
        missing.append("location (a function beside the class)")
    if missing:
        raise StoreError(
            f"the vector store {name!r} lacks {', '.join(missing)}; a store needs {', '.join(wanted)}: see "
            "camml/stores/__init__.py for what each must do"
        )
    return store


def create(name: str, dim: int) -> FileStore:
    """Create an empty store of the kind `name` (one in files) for vectors of width `dim`.

    Example:
      >>> store = create("memory", 2)
      >>> store.add(keys_of([7, 8]), np.eye(2, dtype=np.float32))
      >>> scores, keys = store.search(np.array([[0.6, 0.8]], np.float32), 1)
      >>> keys.tolist()
      [[8]]
    """
    store: FileStore = kind(name)(dim)
    return store


def connect(name: str, location: str, collection: str, dim: int) -> ServedStore:
    """Connect to the store of the kind `name` (a served one) that `location` holds under the name `collection`."""
    store: ServedStore = kind(name).connect(location, collection, dim)
    return store


def is_served(name: str) -> bool:
    """Return True if stores of the kind `name` live in a database."""
    return hasattr(kind(name), "connect")


def in_database(store: VectorStore) -> TypeGuard[ServedStore]:
    """Return True for a served store: it may hold more than what was committed, never less."""
    return hasattr(store, "connect")


def parse_store(text: str) -> tuple[str, str]:
    """Return the kind and the location that `text` names: `faiss`, `memory`, or `KIND://LOCATION` for a served one.

    Raises:
      UnknownNameError: no such kind, or one that needs a location and has none, or the other way round.

    Example:
      >>> parse_store("faiss"), parse_store("milvus://localhost:19530")
      (('faiss_index', ''), ('milvus', 'http://localhost:19530'))
    """
    start, colon, location = text.partition("://")
    name = ALIASES.get(start, start)
    if name not in (known := plugins.names("stores")):
        shown = {name: alias for alias, name in ALIASES.items()}
        raise UnknownNameError(f"no vector store {start!r}; there are: {', '.join(shown.get(n, n) for n in known)}")
    served = is_served(name)
    if served != bool(colon):
        form = f"write {name}://HOST:PORT or {name}://FILE.db" if served else f"write {start!r} alone"
        raise UnknownNameError(f"{text!r} names no vector store: {form}")
    return name, plugins.find("stores", name).location(location) if served else ""


def keys_of(values: Sequence[int]) -> Keys:
    """Return int64[N] of some integers."""
    return np.asarray(values, dtype=np.int64)


def in_chunks(keys: Keys, size: int) -> Iterator[Keys]:
    """Yield the keys in order, at most `size` at a time."""
    return (keys[start : start + size] for start in range(0, len(keys), size))
