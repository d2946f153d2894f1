"""Which samples a filter lets through."""

from pathlib import Path

import pytest

from camml.datastore import Datastore
from camml.errors import OptionError, SampleError
from camml.types import Range
from tests.colors import Colors, sample

SINCE = Range(((">=", "2024"),))


@pytest.mark.parametrize("wanted", [[SINCE, ">=2024"], [">=2024", SINCE]], ids=["range first", "text first"])
def test_a_filter_that_looks_like_a_range_is_another_one(tmp_path: Path, wanted: list[object]) -> None:
    samples = [sample("number", "red", None, {"year": 2025}), sample("text", "red", None, {"year": ">=2024"})]
    store = Datastore.build(tmp_path / "store", samples, Colors())
    vectors = Colors().embed_texts(["red"])
    for want in wanted:
        [context] = store.search(vectors, "text", 2, where={"year": want})
        assert [neighbor.sample.id for neighbor in context] == ["number" if want is SINCE else "text"]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ("1999", ["float", "list", "whole"]), (1999, ["float", "list", "whole"]),
        ("1999.0", ["float", "list", "text", "whole"]),
        ("2000.50", ["half"]), ("9007199254740993", ["id"]), ("9007199254740992", []), ("true", ["yes"]),
        ("1", ["list"]),
        (Range(((">=", "1999"), ("<", "2000"))), ["float", "list", "text", "whole"]),
    ],
)  # fmt: skip
def test_numbers_are_equal_however_they_are_written(tmp_path: Path, wanted: object, ids: list[str]) -> None:
    years = {"whole": 1999, "float": 1999.0, "list": [1, 1999.0], "text": "1999.0", "half": 2000.5, "yes": True}
    years |= {"id": 9007199254740993, "none": None}
    samples = [sample(name, "red", None, {"year": year}) for name, year in years.items()]
    store = Datastore.build(tmp_path / "store", samples, Colors())
    [context] = store.search(Colors().embed_texts(["red"]), "text", len(years), where={"year": wanted})
    assert sorted(neighbor.sample.id for neighbor in context) == ids


@pytest.mark.parametrize("depth", [101, 5000])
def test_metadata_nested_too_deeply_is_refused(tmp_path: Path, depth: int) -> None:
    nested: list[object] = []
    for _ in range(depth - 2):
        nested = [nested]
    with pytest.raises(SampleError, match="has metadata that is nested too deeply"):
        Datastore.build(tmp_path / "store", [sample("a", "red", None, {"m": [nested]})], Colors())
    Datastore.build(tmp_path / "other", [sample("a", "red", None, {"m": (1, [2])})], Colors())


def test_a_filter_reaches_into_objects(tmp_path: Path) -> None:
    samples = [
        sample("a", "red", None, {"meta": {"hall": "A", "maker": {"name": "Okoro"}}}),
        sample("b", "red", None, {"meta": {"hall": "B"}}),
        sample("dot", "red", None, {"meta.hall": "A"}),
    ]
    store = Datastore.build(tmp_path / "store", samples, Colors())
    vectors = Colors().embed_texts(["red"])

    def chosen(**where: object) -> list[str]:
        [context] = store.search(vectors, "text", 3, where=where)
        return sorted(neighbor.sample.id for neighbor in context)

    assert chosen(**{"meta.hall": "A"}) == ["a", "dot"]
    assert chosen(**{"meta.maker.name": "Okoro", "meta.hall": "A"}) == ["a"]
    assert chosen(**{"meta.hall": "C"}) == []
    assert chosen(**{" meta.hall ": " A"}) == ["a", "dot"]
    with pytest.raises(OptionError, match=r"no sample has 'hall' .*; they have: meta\.hall, meta\.maker\.name$"):
        chosen(hall="A")


def test_a_filter_finds_keys_with_dots_and_accents_and_blanks(tmp_path: Path) -> None:
    given = {"exif.gps": {"lat.deg": 1}, "gr\u00f6\u00dfe ": "Zu\u0308rich ", "towns": ["Ko\u0308ln", "Bern"]}
    store = Datastore.build(tmp_path / "store", [sample("a", "red", None, given)], Colors())
    vectors = Colors().embed_texts(["red"])
    for key, value, count in (
        ("exif.gps.lat.deg", "1", 1), ("gro\u0308\u00dfe ", "Z\u00fcrich ", 1), ("gr\u00f6\u00dfe ", "Z\u00fcrich", 0),
        ("towns", "K\u00f6ln", 1), (" towns ", " K\u00f6ln", 1), ("towns", " K\u00f6ln", 0), ("towns", "Koln", 0),
    ):  # fmt: skip
        [context] = store.search(vectors, "text", 1, where={key: value})
        assert len(context) == count, (key, value)


def test_a_sample_is_removed_however_the_accents_of_its_id_are_written(tmp_path: Path) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    samples = [sample(id, "red", None) for id in (composed, apart, "Mu\u0308hle", "other")]
    store = Datastore.build(tmp_path / "store", samples, Colors())
    assert store.remove([composed, "M\u00fchle"]) == 2
    assert [left.id for left in store] == [apart, "other"]
    assert store.remove([composed, apart]) == 1
    with pytest.raises(SampleError, match="1 of the ids are not in"):
        store.remove([composed])
