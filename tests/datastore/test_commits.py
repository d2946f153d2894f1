"""What a change costs: files that are there already are neither read nor written again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camml.datastore import Datastore, changes, commits, verify
from camml.datastore.commits import MOST_SEGMENTS, _last_run
from camml.datastore.rows import Rows
from camml.durable import UNFINISHED
from camml.errors import StoreError
from camml.stores import faiss_index
from camml.types import Sample
from tests.colors import Colors, sample


@pytest.fixture
def store(tmp_path: Path, samples: list[Sample], encoder: Colors) -> Datastore:
    return Datastore.build(tmp_path / "store", [*samples, *(sample(f"n{n}", f"blue {n}") for n in range(20))], encoder)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all data files that are opened."""
    names: list[str] = []
    rows, vectors = Rows.open, faiss_index.Store.open

    def open_rows(path: Path) -> Rows:
        names.append(path.name)
        return rows(path)

    def open_vectors(path: Path, **options: Any) -> faiss_index.Store:
        names.append(path.name)
        return vectors(path, **options)

    monkeypatch.setattr(Rows, "open", open_rows)
    monkeypatch.setattr(faiss_index.Store, "open", open_vectors)
    return names


def test_adding_and_removing_leave_the_other_files_alone(
    store: Datastore, encoder: Colors, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.path or Path()
    before = {path.name: path.stat() for path in folder.glob("0*")}
    monkeypatch.setattr("camml.datastore.files.digest", lambda path: pytest.fail(f"{path} is hashed") if
                        path.name in before else "0")  # fmt: skip
    store.add([sample("m", "green")])
    assert set(opened) == {"000002-samples.parquet", "000002-text.index"}
    opened.clear()
    store.remove(["n3", "m"])
    store.remove(["n4"])
    assert opened == []
    for name, facts in before.items():
        now = (folder / name).stat()
        assert (now.st_ino, now.st_mtime_ns) == (facts.st_ino, facts.st_mtime_ns)
    assert len(store) == 22


def test_opening_reads_no_texts(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    column = Rows.column
    monkeypatch.setattr(Rows, "column", lambda rows, name: read.append(name) or column(rows, name))
    opened = Datastore.open(store.path or "")
    opened.search(Colors().embed_texts(["red"]), "text", 1, where=None) and None
    assert set(read) == {"key", "id", "text", "image", "meta"}
    read.clear()
    Datastore.open(store.path or "").count("text")
    assert "text" not in read
    assert "meta" not in read


def test_many_removed_keys_go_to_a_file(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "INLINE", 2)
    monkeypatch.setattr(commits, "MOST_REMOVED", 2.0)
    monkeypatch.setattr(commits, "MOST_SEGMENTS", 3)
    left = [f"n{n}" for n in range(20)]
    for n in range(0, 18, 2):
        store.remove(left[n : n + 2])
        reopened = Datastore.open(store.path or "")
        assert [item.id for item in reopened] == ["r", "g", "y", "t", *left[n + 2 :]]
        assert reopened.count("text") == len(reopened)
        assert len(reopened.manifest.removed) <= 2
        assert len(reopened.manifest.removed_files) <= 4
    assert reopened.manifest.removed_files
    assert verify(store.path or Path()) == []


def test_a_sample_is_rewritten_about_once_each_time_the_store_doubles() -> None:
    sizes: list[int] = []
    rewritten = added = 0
    for _ in range(3000):
        sizes.append(10)
        added += 10
        if len(sizes) > MOST_SEGMENTS:
            start = _last_run(sizes, 0)
            rewritten += sum(sizes[start:])
            sizes[start:] = [sum(sizes[start:])]
        assert len(sizes) <= MOST_SEGMENTS
    assert rewritten <= np.log2(added) * added


def test_the_large_first_segment_stays(store: Datastore) -> None:
    assert _last_run([1_000_000, *[10] * 16], 0) == 1
    assert _last_run([10] * 17, 0) == 0
    assert _last_run([10] * 17, 5) == 5


@pytest.mark.long
def test_full_segments_are_not_joined(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "FULL", 40)
    monkeypatch.setattr(commits, "MOST_SEGMENTS", 3)
    assert _last_run([15, 15, 15, 15], 0) == 2, "more than a full one was joined"
    written: dict[str, int] = {}
    for n in range(60):
        count = 7 if n % 20 else 50
        store.add([sample(f"m{n}-{m}", f"red {'blue ' * m}") for m in range(count)])
        written |= {segment.samples.name: segment.count for segment in store.manifest.segments}
        sizes = [segment.count for segment in store.manifest.segments]
        last = max(place for place, size in enumerate([20, *sizes]) if size >= 20)
        assert len(sizes) - last <= 3, "small ones were left"
    assert sorted(size for size in written.values() if size > 40) == [50] * 3, "a full one was written again"
    assert len(store) == 24 + 57 * 7 + 3 * 50
    assert sum(written.values()) < 5 * len(store)
    [context] = store.search(Colors().embed_texts(["blue red blue"]), "text", 60)
    assert len({neighbor.sample.id for neighbor in context}) == 60
    assert verify(store.path or Path()) == []


def test_an_id_that_was_removed_is_free_again(store: Datastore) -> None:
    for text in ("red red", "green", "blue"):
        store.remove(["n5"])
        store.add([sample("n5", text)])
        assert store["n5"].text == text
        assert Datastore.open(store.path or "")["n5"].text == text
        assert store.vectors(["n5"], "text")["n5"].tolist() == Colors().embed_texts([text])[0].tolist()
    many = store.vectors([f"n{n}" for n in range(20)], "text")
    assert many["n5"].tolist() == Colors().embed_texts(["blue"])[0].tolist()


def test_a_nearer_removed_crowd_does_not_hide_what_lives(tmp_path: Path, encoder: Colors) -> None:
    crowd = [sample(f"c{n}", "red") for n in range(40)]
    others = [sample(f"o{n}", "green") for n in range(200)]
    store = Datastore.build(tmp_path / "crowd", crowd + others, encoder)
    store.remove([item.id for item in crowd])
    assert store.manifest.removed
    [context] = store.search(encoder.embed_texts(["red"]), "text", 5)
    assert [neighbor.sample.id for neighbor in context] == ["o199", "o198", "o197", "o196", "o195"]


@pytest.mark.parametrize("action", ["add", "update", "remove"])
def test_a_slow_reload_of_another_thread_takes_nothing_back(
    store: Datastore, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    other = Datastore.open(store.path or "", Colors())
    stale = other._snapshot
    store.add([sample("m", "green")])

    def late(act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*given: Any) -> Any:
            other._snapshot = stale  # what that thread had begun to open before
            return act(*given)

        return acting

    for name in ("Spool", "ids_of", "uploads_of", "keys_of"):
        monkeypatch.setattr(changes, name, late(getattr(changes, name)))
    monkeypatch.setattr(changes, "commit_removed", late(commits.commit_removed))
    if action == "remove":
        other.remove(["n0"])
    else:
        getattr(other, action)([sample("x", "blue")])
    ids = [item.id for item in Datastore.open(store.path or "")]
    assert "m" in ids
    assert ("n0" in ids, "x" in ids) == ((False, False) if action == "remove" else (True, True))
    assert verify(store.path or Path()) == []


def test_a_change_of_a_state_that_is_past_is_refused(store: Datastore) -> None:
    folder, past = store.path or Path(), store._snapshot
    store.add([sample("m", "green")])
    before = {path.name: path.read_bytes() for path in folder.glob("0*")}
    with commits.writing(folder), pytest.raises(StoreError, match=r"generation 2, .* of generation 1; .* try again"):
        commits.commit_removed(folder, past, past.table.keys[:1])
    with commits.writing(folder), pytest.raises(StoreError, match="try again"):
        commits.commit_added(folder, past, [])
    assert {path.name: path.read_bytes() for path in folder.glob("0*")} == before
    assert "m" in Datastore.open(folder)


def test_what_another_process_has_put_away_meanwhile_is_no_error(
    store: Datastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, listed = store.path or Path(), commits.manifests.unreferenced
    gone = folder / f"patches{UNFINISHED}"
    monkeypatch.setattr(commits.manifests, "unreferenced", lambda *given: [*listed(*given), gone])
    store.remove(["n0"])
    assert "n0" not in Datastore.open(folder)
