"""Datastores whose vectors are in Milvus, and what a crash between the two leaves."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("milvus_lite")

from camml.datastore import Datastore, commits, migration, verify
from camml.datastore import manifest as manifests
from camml.errors import OptionError, StoreError, UnknownNameError
from camml.stores import milvus, parse_store
from camml.types import Sample
from tests.colors import Colors, picture, sample


class Crash(BaseException):
    """The process ends here."""


class Fuse:
    """Ends the process at the n-th step that outlives it: before or after a request, before or after a file."""

    def __init__(self) -> None:
        self.left = 0

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Crash

    def around(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*args: Any, **options: Any) -> Any:
            self.step()
            result = act(*args, **options)
            self.step()
            return result

        return acting


class Client:
    """A Milvus client that burns the fuse when it changes anything."""

    def __init__(self, client: Any, fuse: Fuse) -> None:
        self.client, self.fuse = client, fuse

    def __getattr__(self, name: str) -> Any:
        act = getattr(self.client, name)
        return self.fuse.around(act) if name in ("insert", "delete", "create_collection", "drop_collection") else act


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    fuse, connect = Fuse(), milvus._client
    monkeypatch.setattr(milvus, "_client", lambda address: Client(connect(address), fuse))
    for module in (commits, manifests, migration):
        monkeypatch.setattr(module, "write_file", fuse.around(module.write_file))
    return fuse


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One file for all tests: to start Milvus Lite takes longer than any of them."""
    return f"milvus://{tmp_path_factory.mktemp('milvus')}/vectors.db"


@pytest.fixture
def store(tmp_path: Path, samples: list[Sample], encoder: Colors, database: str) -> Datastore:
    return Datastore.build(tmp_path / "store", samples, encoder, store=database)


def content(folder: Path) -> list[tuple[Sample, list[float], list[float] | None]]:
    """All that a datastore holds, and that it is found where it says."""
    assert verify(folder) == []
    store = Datastore.open(folder, Colors())
    ids = [item.id for item in store]
    images, texts = store.vectors(ids, "image"), store.vectors(ids, "text")
    for modality, vectors in (("image", images), ("text", texts)):
        for vector in vectors.values():
            [context] = store.search(vector[None], modality, 99)
            assert len(context) == store.count(modality) == len(vectors)
            scores = sorted((float(v @ vector) for v in vectors.values()), reverse=True)
            assert [neighbor.score for neighbor in context] == pytest.approx(scores, abs=1e-6)
    return [(item, texts[item.id].tolist(), images[item.id].tolist() if item.id in images else None) for item in store]


@pytest.mark.long
def test_it_answers_as_faiss_does(store: Datastore, tmp_path: Path, samples: list[Sample], encoder: Colors) -> None:
    other = Datastore.build(tmp_path / "faiss", samples, encoder)
    more = [sample("b", "blue blue", picture(tmp_path, "blue"), {"kind": "pure"}), sample("c", "green blue")]
    for item in (store, other):
        item.add(more)
        item.remove(["r"])
    queries = encoder.embed_texts(["red", "green", "blue blue red"])
    for modality in ("image", "text"):
        for where in (None, {"kind": "pure"}, lambda item: item.image is None):
            assert store.search(queries, modality, 3, where=where) == other.search(queries, modality, 3, where=where)
    assert content(tmp_path / "store") == content(tmp_path / "faiss")
    assert {path.suffix for path in (tmp_path / "store").iterdir()} <= {".parquet", ".json", ""}
    assert store.manifest.store == "milvus"


@pytest.mark.long
def test_another_process_searches_what_one_has_built(tmp_path: Path) -> None:
    """Milvus Lite gives a file's collections to the next process, but lets it search only those that it has loaded."""
    build = "Datastore.build('store', [Sample('a', 'red', None, {})], encoder, store='milvus://file.db')"
    search = "store = Datastore.open('store'); [[one]] = store.search(encoder.embed_texts(['red']), 'text', 1)"
    add = "store = Datastore.open('store', encoder); store.add([Sample('b', 'red red', None, {})])"
    for step in (build, search, add, f"{search}; assert one.sample.id == 'a' and len(store) == 2"):
        imports = "from camml import encoders; from camml.datastore import Datastore; from camml.types import Sample"
        code = f"{imports}; encoder = encoders.load('hashed', dim=64); {step}"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr


@pytest.mark.long
@pytest.mark.parametrize("action", ["add", "remove"])
def test_a_crash_at_any_point_leaves_the_state_before_or_after(
    tmp_path: Path, store: Datastore, fuse: Fuse, action: str
) -> None:
    folder, steps, states, finished = tmp_path / "store", 0, set[bool](), False
    while not finished:
        steps += 1
        new = [sample(f"n{steps}", "blue"), sample(f"m{steps}", "blue red", picture(tmp_path, "pink"))]
        if action == "remove":
            store.add(new)
        before = [item.id for item in store]
        ids = [item.id for item in new]
        after = [*before, *ids] if action == "add" else before[:-2]
        fuse.left = steps
        try:
            _ = store.add(new) if action == "add" else store.remove(ids)
            finished = True
        except Crash:
            fuse.left = 0
        store = Datastore.open(folder, Colors())
        now = [part[0].id for part in content(folder)]
        assert now in (before, after)
        states.add(now == after)
        if now != after:
            _ = store.add(new) if action == "add" else store.remove(ids)
        assert [part[0].id for part in content(folder)] == after
        store.remove([])
    assert steps > 4
    assert states == {True, False}


@pytest.mark.long
def test_what_milvus_lost_is_noticed(store: Datastore) -> None:
    [text] = store._snapshot.indexes["text"].parts
    text.remove(store._snapshot.table.keys[:1])
    assert [
        "lacks the text vectors of 1 samples, such as 'r'" in problem for problem in verify(store.path or Path())
    ] == [True]


@pytest.mark.long
@pytest.mark.parametrize("target", ["faiss", "memory", "milvus"])
def test_migration_and_back(
    tmp_path: Path, samples: list[Sample], encoder: Colors, database: str, target: str, fuse: Fuse
) -> None:
    """Stopped at every step, then run again: it goes on, and what is read is the same before, between and after."""
    first, second = ("faiss", database) if target == "milvus" else (database, target)
    folder, steps = tmp_path / "store", 0
    store = Datastore.build(folder, samples, encoder, store=first)
    store.add([sample("n", "blue")])
    store.remove(["g"])
    before = content(folder)
    while True:
        steps += 1
        fuse.left = steps
        try:
            assert migration.migrate(folder, second) == 6
            break
        except Crash:
            fuse.left = 0
            assert content(folder) == before
            if Datastore.open(folder).manifest.store == milvus.__name__.rpartition(".")[2] and target == "milvus":
                break
            if Datastore.open(folder).manifest.store == parse_store(second)[0]:
                break
    fuse.left = 0
    assert steps > 3
    assert content(folder) == before
    with pytest.raises(StoreError, match="already"):
        migration.migrate(folder, second)
    reopened = Datastore.open(folder, encoder)
    reopened.add([sample("later", "green")])
    reopened.remove(["n"])
    assert [part.id for part, *_ in content(folder)] == ["r", "y", "t", "later"]


def test_addresses() -> None:
    assert milvus.location("host:19530") == "http://host:19530"
    assert milvus.location("https://host?index=HNSW") == "https://host?index=HNSW"
    assert milvus.location("a.db") == str(Path("a.db").absolute())
    for bad, message in (("", "names no place"), ("user:secret@host", "CAMML_MILVUS_TOKEN")):
        with pytest.raises(OptionError, match=message):
            milvus.location(bad)
    with pytest.raises(OptionError, match="'speed'"):
        milvus.Store.connect("/nowhere/a.db?speed=1", "x", 3)


def test_places_that_do_not_answer(tmp_path: Path, samples: list[Sample], encoder: Colors) -> None:
    with pytest.raises(UnknownNameError, match="milvus://HOST:PORT"):
        Datastore.build(tmp_path / "store", samples, encoder, store="milvus")
    with pytest.raises(UnknownNameError, match="write 'faiss' alone"):
        Datastore.build(tmp_path / "store", samples, encoder, store="faiss://x")
    (tmp_path / "file.db").write_text("not a database")
    with pytest.raises(StoreError, match="Milvus"):
        Datastore.build(tmp_path / "store", samples, encoder, store=f"milvus://{tmp_path}/file.db")


@pytest.mark.long
def test_a_file_of_vectors_is_one_however_it_is_reached(
    tmp_path: Path, encoder: Colors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lets in one client: two spellings of its place must not make two; and it moves with its datastore."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path / "link")
    place = f"milvus://{tmp_path}/link/store/vectors.db"
    store = Datastore.build(tmp_path / "real" / "store", [sample("r", "red")], encoder, store=place)
    assert store.manifest.location == "vectors.db"
    for path in (tmp_path / "link" / "store", Path("store"), Path("../real/store")):
        opened = Datastore.open(path, encoder)
        assert opened.vectors(["r"], "text").keys() == {"r"}
    with pytest.raises(StoreError, match="already"):
        migration.migrate(tmp_path / "link" / "store", f"milvus://{tmp_path}/real/store/vectors.db")
