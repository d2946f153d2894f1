"""Readers beside writers."""

from pathlib import Path

import pytest

from camml.datastore import Datastore
from camml.datastore import manifest as manifests
from camml.errors import DiskError
from camml.types import Sample
from tests.colors import Colors, sample


def test_a_reader_that_loses_the_race_reads_the_newest(
    tmp_path: Path, samples: list[Sample], encoder: Colors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read a manifest, then two writers come by, and the second removes the files of the first state."""
    store = Datastore.build(tmp_path / "store", samples, encoder)
    stale = store.manifest
    store.remove(["r", "t"])
    store.add([sample("n", "new")])
    assert not all((tmp_path / "store" / file.name).exists() for file in stale.files)
    answers = [stale]
    real = manifests.read
    monkeypatch.setattr(manifests, "read", lambda folder: answers.pop() if answers else real(folder))
    opened = Datastore.open(tmp_path / "store")
    assert answers == []
    assert [item.id for item in opened] == ["g", "y", "n"]


def test_a_sample_that_is_not_there_is_none(tmp_path: Path, samples: list[Sample], encoder: Colors) -> None:
    store = Datastore.build(tmp_path / "store", samples, encoder)
    assert store.get("g") == store["g"] == samples[1]
    store.remove(["g"])
    assert store.get("g") is None
    assert store.get("\ud800") is None


def test_a_change_is_safe_where_merging_finds_no_space(
    tmp_path: Path, samples: list[Sample], encoder: Colors, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Datastore.build(tmp_path / "store", samples, encoder)

    def no_space(*args: object) -> None:
        raise DiskError("cannot write: no space")

    with monkeypatch.context() as patch:
        patch.setattr("camml.datastore.commits._rewrite", no_space)
        store.remove(["r", "t"])
        assert len(store.manifest.removed) == 2
        assert [item.id for item in Datastore.open(tmp_path / "store")] == ["g", "y"]
    store.remove(["y"])
    assert store.manifest.removed == ()
    assert [item.id for item in Datastore.open(tmp_path / "store")] == ["g"]


def test_what_interrupted_writers_left_is_swept(tmp_path: Path, samples: list[Sample], encoder: Colors) -> None:
    store = Datastore.build(tmp_path / "store", samples, encoder)
    for name in ("000009-text.index", "000002-samples.parquet.unfinished", "manifest.json.unfinished"):
        (tmp_path / "store" / name).write_bytes(b"half")
    (tmp_path / "store" / "notes.txt").write_text("of the user")
    store.add([sample("n", "new")])
    names = {path.name for path in (tmp_path / "store").iterdir()}
    assert names == {file.name for file in store.manifest.files} | {"manifest.json", "lock", "notes.txt"}
