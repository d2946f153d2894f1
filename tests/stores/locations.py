"""Empty stores of every kind for tests; a served one is made once for each width and emptied."""

import os
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from camml import plugins, stores
from camml.stores import ServedStore, VectorStore

SERVER = os.environ.get("CAMML_TEST_MILVUS", "")
"""The address of a Milvus server to hold to the contract as well, such as http://127.0.0.1:19530."""
OURS = {"faiss_index", "memory", "milvus", "milvus-server"}
"""They compute scores anew in one way, so that all give the same bits; a store of somebody else need not."""
if MORE := os.environ.get("CAMML_TEST_STORES", ""):
    stores.__path__.append(MORE)  # a folder with more stores, to hold them to the contract before they move in
FILES = [name for name in plugins.names("stores") if not stores.is_served(name)]
LITE = "milvus" if find_spec("milvus_lite") else ""
NAMES = [*FILES, *([LITE] if LITE else []), *(["milvus-server"] if SERVER else [])]


@cache
def lite_file() -> str:
    return str(Path(tempfile.mkdtemp()) / "contract.db")


@cache
def served(name: str, dim: int) -> ServedStore:
    place = SERVER if name == "milvus-server" else lite_file()
    return stores.connect("milvus", place, f"camml_contract_{os.getpid()}_{dim}", dim)


def empty(name: str, dim: int) -> VectorStore:
    """An empty store; of a served one, only the last is valid."""
    if name in FILES:
        return stores.create(name, dim)
    store = served(name, dim)
    store.remove(store.keys())
    return store


@pytest.fixture(scope="session", autouse=True)
def collections_dropped() -> Iterator[None]:
    yield
    for dim in (1, 3, 4, 64, 384, 1000):
        if SERVER:
            served("milvus-server", dim).drop()
