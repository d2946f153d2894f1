"""Referring expressions: frames told apart, and what is not known."""

import pytest

from camml.boxes import FRAMES
from camml.errors import OptionError, SampleError
from camml.evaluation.metrics.boxes import measure
from camml.evaluation.task import Item, Settings


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
