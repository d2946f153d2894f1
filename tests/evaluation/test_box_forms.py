"""True boxes: corners, or COCO's corner with width and height; detected, said, or refused."""

from pathlib import Path

import pytest

from camml.boxes import Box
from camml.errors import SampleError
from camml.evaluation.box_forms import form_of
from camml.evaluation.score import score
from tests.layouts import document, lines, picture

HERE = Path("gt.json")


def truth(*box: float, size: tuple[int, int] | None = None) -> dict:
    """A true box, with the size of its picture where it is known."""
    return {"box": list(box)} | ({"width": size[0], "height": size[1]} if size else {})


def test_what_cannot_be_corners_is_width_and_height() -> None:
    assert form_of([truth(10, 20, 300, 400), truth(200, 150, 40, 30)], HERE) == "xywh"
    assert form_of([truth(0.6, 0.1, 0.3, 0.2)], HERE) == "xywh"


def test_what_would_leave_its_picture_is_corners() -> None:
    assert form_of([truth(100, 100, 600, 400, size=(640, 480))], HERE) == "xyxy"
    assert form_of([truth(10, 20, 30, 40, size=(640, 480)), truth(100, 100, 600, 400, size=(640, 480))], HERE) == "xyxy"


def test_corners_that_would_leave_their_picture_are_width_and_height() -> None:
    assert form_of([truth(0, 20, 640.4, 460.4, size=(640, 480)), truth(100, 100, 500, 300, size=(500, 200))], HERE) == (
        "xyxy"
    )  # impossible in both ways: by the order of the numbers
    assert form_of([truth(200, 150, 40, 30, size=(640, 480))], HERE) == "xywh"


def test_relative_boxes_in_order_are_corners() -> None:
    assert form_of([truth(0.1, 0.2, 0.5, 0.6), truth(0.25, 0, 0.75, 1)], HERE) == "xyxy"


def test_many_boxes_in_order_are_corners_without_the_sizes_of_pictures() -> None:
    assert form_of([truth(n, n, 3 * n + 2, 2 * n + 1) for n in range(20)], HERE) == "xyxy"


def test_what_can_be_both_is_refused() -> None:
    for size in (None, (640, 480)):
        with pytest.raises(SampleError, match=r"gt\.json: its boxes.*name their key 'xyxy' or 'xywh'"):
            form_of([truth(10, 20, 30, 40, size=size), truth(0, 0, 5, 5, size=size)], HERE)


@pytest.mark.parametrize("key", ["bbox", "xywh"])
def test_coco_boxes_score_as_what_they_are(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "refcoco"
    boxes = [[60, 50, 30, 20], [10, 12, 15, 18]]
    records = [{"obj_id": n, "image": picture(folder / f"{n}.jpg", n, (100, 80)), "text": "x"} for n in range(2)]
    lines(folder / "llava_refcoco_val.jsonl", records)
    document(folder / "llava_refcoco_val_gt.json", [{"obj_id": n, key: box} for n, box in enumerate(boxes)])
    said = [f"[{x}, {y}, {x + width}, {y + height}]" for x, y, width, height in boxes]
    answers = lines(tmp_path / "a.jsonl", [{"obj_id": n, "predict_boxes": text} for n, text in enumerate(said)])
    result = score("refcoco", tmp_path, answers, resamples=0)
    assert (result.values["accuracy"], result.values["mean_iou"]) == (100, 1)
    assert result.notes == ("true boxes are read as left, top, width, height",)
    assert Box(*boxes[0]).area == 0  # read as corners the first one is inside out


def test_a_key_that_says_its_form_is_never_guessed(tmp_path: Path) -> None:
    folder = tmp_path / "refcoco"
    lines(folder / "llava_refcoco_val.jsonl", [{"obj_id": 1, "image": "1.jpg", "text": "x"}])
    answers = lines(tmp_path / "a.jsonl", [{"obj_id": 1, "predict_boxes": "[10, 20, 30, 40]"}])
    for key, wanted in (("xyxy", 1.0), ("xywh", 400 / 1200)):
        document(folder / "llava_refcoco_val_gt.json", [{"obj_id": 1, key: [10, 20, 30, 40]}])
        assert score("refcoco", tmp_path, answers, resamples=0).values["mean_iou"] == pytest.approx(wanted)


def test_a_right_edge_left_of_the_left_one_is_a_width() -> None:
    assert form_of([truth(300, 20, 100, 400)], HERE) == "xywh"
    assert form_of([truth(20, 300, 400, 100)], HERE) == "xywh"
