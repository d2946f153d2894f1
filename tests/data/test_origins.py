"""Hashes of what datasets and stores hold."""

from pathlib import Path

import pytest

from camml import encoders
from camml.data import origins
from camml.datastore import Datastore
from camml.errors import SampleError, StoreNotFoundError
from camml.types import Sample


def test_a_store_has_another_hash_after_a_change(tmp_path: Path) -> None:
    store = Datastore.build(tmp_path / "s", [Sample("a", "one"), Sample("b", "two")], encoders.load("hashed"))
    before = origins.store_state(str(tmp_path / "s"))
    assert before == origins.store_state(str(tmp_path / "s"))
    store.remove(["a"])
    after = origins.store_state(str(tmp_path / "s"))
    assert after[0] != before[0]
    assert after[1] > before[1]


def test_a_published_pair_is_hashed_by_its_files(tmp_path: Path) -> None:
    for name in ("i.index", "d.json"):
        (tmp_path / name).write_text(name)
    name = f"{tmp_path / 'i.index'}:{tmp_path / 'd.json'}"
    before = origins.store_state(name)[0]
    (tmp_path / "d.json").write_text("other")
    assert origins.store_state(name)[0] != before


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        origins.store_state(str(tmp_path / "gone"))
    with pytest.raises(StoreNotFoundError, match=r"a\.index"):
        origins.store_state(f"{tmp_path / 'a.index'}:{tmp_path / 'b.json'}")
    with pytest.raises(SampleError, match="gone"):
        origins.file_hash(tmp_path / "gone.json")
