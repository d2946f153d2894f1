"""Which samples a filter lets through."""

from pathlib import Path

import pytest

from camml.datastore import Datastore
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
