"""Bounds of numbers and dates, and ids that a datastore can hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml.types import Range, is_bound, mended_id


@pytest.mark.parametrize(
    ("value", "sign", "bound", "holds"),
    [
        (3, "<=", "3", True), ("3.5", "<", "3", False), (-2, ">=", "-2.0", True), ("10", ">", "9", True),
        ("2024-05-01", ">=", "2024", True), ("2023-12-31", ">=", "2024-01-01", False),
        ("2024-01-01 10:00", "<", "2024-01-01T11:00", True), (2024, ">=", "2024", True),
        (2023, "<", "2024-01-01", True),
        (True, ">", "0", False), (None, "<", "3", False), ("cheap", "<", "3", False), ("3 kg", "<", "4", False),
    ],
)  # fmt: skip
def test_a_value_lies_within_or_not(value: object, sign: str, bound: str, holds: bool) -> None:
    assert Range(((sign, bound),)).holds(value) is holds


def test_all_bounds_count() -> None:
    between = Range(((">=", "1"), ("<", "3")))
    assert [number for number in range(5) if between.holds(number)] == [1, 2]
    assert str(between) == ">=1 <3"


@pytest.mark.parametrize(
    ("text", "is_one"), [("1", True), ("-1.5", True), ("2024-02-30", True), ("x", False), ("", False)]
)
def test_what_is_a_bound(text: str, is_one: bool) -> None:
    assert is_bound(text) is is_one


@given(st.lists(st.sampled_from(["a", "a#2", "a#2#2", "b/c", "b_c"]), max_size=30))
def test_counts_kept_between_calls_change_no_id(ids: list[str]) -> None:
    plain: list[str] = []
    counted: list[str] = []
    counts: dict[str, int] = {}
    for id in ids:
        plain.append(mended_id(id, plain))
        counted.append(mended_id(id, counted, counts))
    assert counted == plain
    assert len(set(plain)) == len(ids)
