"""The samples that hold the numbers and codes of a question."""

from pathlib import Path

import pytest

from camml.datastore import Datastore, searching
from tests.colors import Colors, sample

TEXTS = {"p7": "Pump 7, red", "p9": "Pump 9, blue", "b9": "Belt 9 of order K-1, red", "k1": "order k-1", "x": "red 9.5"}
ASKED = Colors().embed_texts(["red"])[0]


@pytest.fixture
def store(tmp_path: Path) -> Datastore:
    samples = [sample(name, text, None, {"kind": name[0]}) for name, text in TEXTS.items()]
    store = Datastore.build(tmp_path / "store", samples[:2], Colors())
    store.add(samples[2:])
    return store


def named(store: Datastore, *identifiers: str, k: int = 9, **where: str) -> list[str]:
    context = store.search_identifiers(identifiers, ASKED, k, where=where or None)[1]
    return [neighbor.sample.id for neighbor in context]


def test_the_nearest_of_those_with_an_identifier_come_first(store: Datastore) -> None:
    assert named(store, "9") == ["b9", "p9"]
    assert named(store, "9", k=1) == ["b9"]
    assert named(store, "9", kind="p") == ["p9"]
    assert named(store, "9", kind="x") == []


def test_those_that_hold_most_of_several_are_taken(store: Datastore) -> None:
    assert named(store, "9", "k-1") == ["b9"]
    assert named(store, "7", "k-1", "12") == ["p7"]  # 7 is rarer, nothing has 12
    assert store.search_identifiers(["7", "12"], ASKED, 1)[0].keys() == {"7"}
    assert store.search_identifiers(["12"], ASKED, 1) == ({}, ())


def test_what_is_removed_is_not_counted(store: Datastore) -> None:
    before = store.search_identifiers(["9"], ASKED, 1)[0]["9"]
    store.remove(["b9"])
    assert named(store, "9") == ["p9"]
    assert store.search_identifiers(["9"], ASKED, 1)[0]["9"] > before


def test_a_large_datastore_is_not_passed_over(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PASSED_OVER", 4)
    assert store.search_identifiers(["9", "12"], ASKED, 3) == ({"9": 1.0, "12": 1.0}, ())


def test_of_very_many_the_longest_are_looked_for(store: Datastore) -> None:
    many = [str(number) for number in range(20)]
    assert store.search_identifiers([*many, "k-1"], ASKED, 1)[0].keys() == {"k-1"}
