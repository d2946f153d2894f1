"""Boxes: reading them, frames, overlap."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from camml.errors import OptionError, SampleError
from camml.evaluation.metrics.boxes import FRAMES, Box, in_pixels, measure, overlap, read_box
from camml.evaluation.task import Item, Settings

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
def test_overlap_is_symmetric_and_a_share(one: Box, other: Box) -> None:
    assert 0 <= overlap(one, other) <= 1
    assert overlap(one, other) == overlap(other, one)


@given(boxes, boxes, st.integers(10, 900), st.integers(10, 900), st.sampled_from(["normalised", "padded"]))
def test_overlap_is_the_same_in_every_frame(one: Box, other: Box, width: int, height: int, frame: str) -> None:
    assume(min(one.area, other.area) > 1e-6)
    moved = overlap(in_pixels(one, frame, width, height), in_pixels(other, frame, width, height))
    assert moved == pytest.approx(overlap(one, other), abs=1e-6)


def test_a_wide_picture_is_padded_above_and_below() -> None:
    assert in_pixels(Box(0, 0.25, 1, 0.75), "padded", 400, 200) == Box(0, 0, 400, 200)
    assert in_pixels(Box(0.25, 0, 0.75, 1), "padded", 200, 400) == Box(0, 0, 200, 400)
    assert in_pixels(Box(0, 0, 1, 1), "padded", 5, 2) == Box(0, -1, 5, 4)  # three odd rows: one above, two below


def _measure(said: str, settings: Settings, **truth: object) -> dict[str, float]:
    return dict(measure([Item("1", 1, "?", truth={"box": [0, 0, 1, 1], **truth})], {"1": said}, settings).values)


def test_frames_are_told_apart() -> None:
    padded = Settings(answer_boxes="padded")
    assert _measure("[0, 0.25, 1, 0.75]", padded, width=400, height=200) == {"accuracy": 100, "mean_iou": 1}
    assert _measure("[0, 0, 400, 200]", Settings(answer_boxes="pixels"), width=400, height=200)["mean_iou"] == 1
    assert _measure("[0, 0, 1, 0.5]", Settings()) == {"accuracy": 100, "mean_iou": 0.5}  # exactly one half counts
    assert _measure("nowhere", Settings())["accuracy"] == 0


def test_bad_frames_and_unknown_sizes_are_said() -> None:
    with pytest.raises(OptionError, match=f"'inches'; there are: {', '.join(FRAMES)}"):
        _measure("", Settings(answer_boxes="inches"))
    with pytest.raises(SampleError, match="question 1: the size of its image is not known"):
        _measure("[0, 0, 1, 1]", Settings(answer_boxes="padded"))
