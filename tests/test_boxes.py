"""Boxes: reading them, frames, overlap."""

import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from camml.boxes import Box, in_pixels, overlap, read_box

sides = st.floats(0, 1, allow_subnormal=False)
spans = st.tuples(sides, sides).map(sorted)
boxes = st.tuples(spans, spans).map(lambda s: Box(s[0][0], s[1][0], s[0][1], s[1][1]))


@pytest.mark.parametrize(
    ("said", "box"),
    [
        ("[0.1, 0.2, 0.3, 0.4]", Box(0.1, 0.2, 0.3, 0.4)),
        ("It is at [.5,0,1,1.0].", Box(0.5, 0, 1, 1)),
        ("(10, 20, 30, 40)", Box(10, 20, 30, 40)),
        ("[-0.1, 0, 1, 1] and [0, 0, 1, 1]", Box(-0.1, 0, 1, 1)),
        ("[0.1, 0.2, 0.3]", None),
        ("0.1, 0.2, 0.3, 0.4", None),
        ("", None),
    ],
)
def test_the_first_box_of_an_answer(said: str, box: Box | None) -> None:
    assert read_box(said) == box


def test_overlap_of_hand_worked_boxes() -> None:
    assert overlap(Box(0, 0, 2, 2), Box(1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert overlap(Box(0, 0, 1, 1), Box(0, 0, 2, 1)) == 0.5
    assert overlap(Box(0, 0, 1, 1), Box(1, 0, 2, 1)) == 0
    assert overlap(Box(1, 1, 0, 0), Box(0, 0, 1, 1)) == 0  # inside out


@given(boxes, boxes)
def test_overlap_is_symmetric_and_a_share(first: Box, other: Box) -> None:
    assert 0 <= overlap(first, other) <= 1
    assert overlap(first, other) == overlap(other, first)


@given(boxes, boxes, st.integers(10, 900), st.integers(10, 900), st.sampled_from(["normalised", "padded"]))
def test_overlap_is_the_same_in_every_frame(first: Box, other: Box, width: int, height: int, frame: str) -> None:
    assume(min(first.area, other.area) > 1e-6)
    moved = overlap(in_pixels(first, frame, width, height), in_pixels(other, frame, width, height))
    assert moved == pytest.approx(overlap(first, other), abs=1e-6)


def test_a_wide_picture_is_padded_above_and_below() -> None:
    assert in_pixels(Box(0, 0.25, 1, 0.75), "padded", 400, 200) == Box(0, 0, 400, 200)
    assert in_pixels(Box(0.25, 0, 0.75, 1), "padded", 200, 400) == Box(0, 0, 200, 400)
    assert in_pixels(Box(0, 0, 1, 1), "padded", 5, 2) == Box(0, -1, 5, 4)  # three odd rows: one above, two below


def test_digits_without_end_are_no_box_and_take_no_time() -> None:
    started = time.process_time()
    assert read_box("[" + "1" * 100_000) is None
    assert read_box("[" + ",".join(["9" * 400] * 4) + "]") is None
    assert read_box("[" + ",".join(["9" * 306] * 4) + "]") is None  # times a width it would be infinite
    assert time.process_time() - started < 5
