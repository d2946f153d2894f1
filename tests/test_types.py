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
        (10**400, ">", "2", True), (2023.0, "<", "2024-01-01", True), (2024.5, ">", "2024-01-01", False),
        ("1e-05", "<", "0.001", True), (".5", "<", "1e0", True), ("-.5", ">", "-5E-1", False), (1e-05, "<", ".5", True),
        ("1e400", ">", "2", True), ("1e", ">", "0", False), (".", ">", "0", False), (20240501, ">", "20240430", True),
        ("20240501", ">", "2024-01-01", False), ("2024/05/01", ">", "2024-04-30", True),
        ("2024-5-1", "<", "2024-05-02", True), ("2024-05-01T24:00", ">", "2024-05-01T23:59", True),
        ("2024/5/1 9:05", "<", "2024-05-01T10", True), ("2024-13-01", ">", "2024", False),
        ("2024-02-30", ">", "2024", False), ("2024-05-01T25:00", ">", "2024", False), ("2024/05", ">", "2024", False),
        ("01/05/2024", ">", "2024", False), ("2024-05/01", ">", "2024", False),
        (True, ">", "0", False), (None, "<", "3", False), ("cheap", "<", "3", False), ("3 kg", "<", "4", False),
    ],
)  # fmt: skip
def test_a_value_lies_within_or_not(value: object, sign: str, bound: str, holds: bool) -> None:
    assert Range(((sign, bound),)).holds(value) is holds


NOON = ("2024-05-01T12:00:00Z", "2024-05-01 12:00", "2024-05-01t12:00:00.000z", "2024-05-01 14:00:00+02:00",
        "2024-05-01T12:00:00,0", "2024-05-01T07:30:00.000-0430", "2024-05-01T13+01")  # fmt: skip


@pytest.mark.parametrize("value", NOON)
@pytest.mark.parametrize("bound", NOON)
def test_moments_with_a_zone_are_compared_as_utc_and_others_as_they_stand(value: str, bound: str) -> None:
    assert Range(((">=", bound), ("<=", bound))).holds(value)
    assert not Range((("<", bound),)).holds(value)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2023-12-31T23:59:59.5Z", "2024"), ("2024", "2024-01-01T00:00:00.001"), ("2024-01-01T00:30+01:00", "2024"),
        ("2024-05-01T10:00:00.25", "2024-05-01T10:00:00.5Z"), ("2024-02-29T23:30:00-01:00", "2024-03-01T01:00"),
        ("2016-12-31T23:59:59Z", "2016-12-31T23:59:60Z"), ("0001-01-01", "0001-01-01T00:00:01"),
    ],
)  # fmt: skip
def test_moments_are_in_order_whatever_their_form(earlier: str, later: str) -> None:
    assert Range((("<", later),)).holds(earlier)
    assert Range(((">", earlier),)).holds(later)


def test_a_shorter_date_stands_for_its_first_moment() -> None:
    for date in ("2024", "2024-01", "2024-01-01", "2024-01-01T00:00"):
        assert Range(((">=", "2024-01-01T00:00:00Z"), ("<=", "2024"))).holds(date)


def test_all_bounds_count() -> None:
    between = Range(((">=", "1"), ("<", "3")))
    assert [number for number in range(5) if between.holds(number)] == [1, 2]
    assert str(between) == ">=1 <3"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("1", True), ("-1.5", True), ("2024-02-30", False), ("2024-13-01", False), ("1e-3", True), (".5", True),
        ("5.", True), ("2024/5/1", True), ("0000", True), ("2024-00-10", False),
        ("2024-05-01T10:00:00.123456789+02:00", True), ("x", False),
        ("", False), ("2024-02-30T10:00Z", False), ("0001-01-01T00:00+01:00", False), ("2024-05-01T10:00+99:00", False),
        ("10:00Z", False), ("2024-05-01Z", False),
    ],
)  # fmt: skip
def test_what_is_a_bound(text: str, is_one: bool) -> None:
    assert is_bound(text) is is_one


@pytest.mark.parametrize(
    ("bounds", "tightest"),
    [
        ((("<", "3"), ("<", "20"), (">=", "9"), (">=", "10")), (("<", "3"), (">=", "10"))),
        (((">=", "2024-05-01"), (">=", "2024-06"), ("<=", "2025"), ("<=", "2024-12-31")),
         ((">=", "2024-06"), ("<=", "2024-12-31"))),
        (((">", "2024/5/1"), (">", "2024"), (">=", "1e3")), ((">", "2024/5/1"), (">=", "1e3"))),
    ],
)  # fmt: skip
def test_the_tightest_bound_of_a_sign_stands_for_all(
    bounds: tuple[tuple[str, str], ...], tightest: tuple[tuple[str, str], ...]
) -> None:
    assert Range(bounds).tightest() == Range(tightest)


def test_a_number_and_a_date_have_no_tightest() -> None:
    with pytest.raises(ValueError, match="5 is a number and 2024-05-01 a date"):
        Range(((">", "2024-05-01"), (">", "5"))).tightest()


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
