"""Samples and ids of the types that a caller in Python may give."""

from pathlib import Path
from typing import Any

import pytest

from camml.datastore import Datastore
from camml.datastore.given import ids_of, typed
from camml.errors import InputError, SampleError
from camml.types import Sample
from tests.colors import Colors, picture


def test_a_picture_may_be_given_by_its_path_as_text(tmp_path: Path, encoder: Colors) -> None:
    path = picture(tmp_path, "red")
    store = Datastore.build(tmp_path / "store", [Sample("a", "red", str(path))], encoder)  # type: ignore[arg-type]
    store.add([Sample("b", "red", str(path))])  # type: ignore[arg-type]
    assert [item.image for item in store] == [path, path]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Sample(5, "x"), r"\(id 5\) has an id that is an int, not a str"),  # type: ignore[arg-type]
        (Sample("a", None), r"\(id 'a'\) has a text that is a NoneType, not a str"),  # type: ignore[arg-type]
        (Sample("a", "x", b"0.png"), r"\(id 'a'\) has an image that is a bytes, not a Path"),  # type: ignore[arg-type]
        (Sample("a", "x", None, ["y"]), r"\(id 'a'\) has a meta that is a list, not a dict"),  # type: ignore[arg-type]
        (Sample("a", "x", None, {1: "x", "1": "y"}), r"\(id 'a'\) has a meta with the key 1 that is an int, not a str"),  # type: ignore[dict-item]
        (Sample("a", "x", None, {"deep": [{"in": {None: 1}}]}), r"\(id 'a'\) has a meta with the key None that is a N"),
        ({"id": "a", "text": "x"}, r"is a dict, not a Sample"),
        ("a", r"is a str, not a Sample"),
    ],
)
def test_other_types_are_named(tmp_path: Path, encoder: Colors, bad: Any, message: str) -> None:
    good = Sample("good", "red")
    with pytest.raises(SampleError, match=f"sample 2 of the input {message}"):
        Datastore.build(tmp_path / "store", [good, bad], encoder)
    reasons: list[InputError] = []
    if isinstance(bad, Sample):
        assert list(typed([good, bad], lambda _, reason: reasons.append(reason))) == [good]
        assert len(reasons) == 1


def test_ids_are_texts_one_or_several() -> None:
    assert (ids_of("12"), ids_of(["1", "2"]), ids_of(name for name in "ab")) == (["12"], ["1", "2"], ["a", "b"])
    with pytest.raises(SampleError, match="the id 5 is an int, not a str"):
        ids_of(["1", 5])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (Sample("a", "red"), r"one Sample was given, not several; give a list: \[sample\]"),
        (5, r"an int was given, not samples; give an iterable of camml.Sample"),
        (None, r"a NoneType was given, not samples; give an iterable of camml.Sample"),
    ],
)
def test_one_sample_or_none_at_all_is_an_error_that_says_so(
    tmp_path: Path, encoder: Colors, samples: Any, message: str
) -> None:
    store = Datastore.build(tmp_path / "store", [Sample("good", "red")], encoder)
    for change in (store.add, store.update):
        with pytest.raises(SampleError, match=message):
            change(samples)
    with pytest.raises(SampleError, match=message):
        Datastore.build(tmp_path / "new", samples, encoder)


def test_numbers_that_json_does_not_have_become_null_as_in_files(tmp_path: Path, encoder: Colors) -> None:
    meta = {"a": float("nan"), "b": [1.5, float("-inf")], "c": {"d": (float("inf"), 2)}, "e": 3}
    store = Datastore.build(tmp_path / "store", [Sample("a", "red", None, meta)], encoder)
    store.add([Sample("b", "red", None, meta)])
    for name in "ab":
        assert store[name].meta == {"a": None, "b": [1.5, None], "c": {"d": [None, 2]}, "e": 3}
