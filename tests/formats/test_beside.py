"""The files beside the pictures of a folder: texts, JSON of other programs, pictures written out of datasets."""

import base64
import json
from pathlib import Path

import pytest

from camml import formats
from camml.formats import folder
from tests.formats.shards import png, table
from tests.formats.test_folder import picture, texts


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tmp_path / "photos"


def test_several_captions_are_lines(photos: Path) -> None:
    picture(photos / "a.png")
    (photos / "a.json").write_text(json.dumps({"caption": ["A dog. ", "", "A cat."]}))
    assert texts(photos) == {"a.png": "A dog.\nA cat."}


def test_a_text_is_beside_a_picture_in_other_letters(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("img_2.jpg", "IMG_1.JPG", "both.png", "BOTH.JPG"):
        picture(photos / name)
    for name, text in (("IMG_2.TXT", "second"), ("IMG_1.JPG.TXT", "first"), ("BOTH.txt", "of the JPG")):
        (photos / name).write_text(text)
    said = {"BOTH.JPG": "of the JPG", "IMG_1.JPG": "first", "both.png": "both", "img_2.jpg": "second"}
    assert (texts(photos), caplog.text, folder.passed_over(photos)) == (said, "", {})


def test_json_of_other_programs_leaves_no_picture_out(
    photos: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(photos / name)
    shapes = [{"label": "pump", "mask": "iVBORw0K" * 40}]
    (photos / "a.json").write_text('[{"label": "x"}]')
    (photos / "b.json").write_text(json.dumps({"caption": "A pump.", "shapes": shapes, "imageData": "A" * 5000 + "=="}))
    (photos / "c.json").write_text(json.dumps({"caption": "x" * 9000}))
    monkeypatch.setattr("camml.formats._pictures.LARGEST_JSON", 8000)
    samples = {sample.id: sample for sample in formats.read(photos)}
    assert [sample.text for sample in samples.values()] == ["a", "A pump.", "c"]
    assert samples["b.png"].meta.keys() - {"file", "origin"} == {"shapes"}
    assert samples["b.png"].meta["shapes"] == [{"label": "pump"}]
    assert f"2 files beside pictures are passed over, such as {photos / 'a.json'}, which is a list; " in caplog.text


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_pictures_that_were_written_out_of_a_dataset_in_a_folder_are_none_of_its_own(
    photos: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    same = photos / "set-images" / f"{'0' * 32}.png"  # named alike, and given
    rows = [{"id": "7", "text": "A pump.", "image": {"bytes": png("red"), "path": "a.png"}}]
    if kind == "parquet":
        data = table(photos / "data" / "0.parquet", rows)
    else:
        picture(photos / "a.png")
        picture(same)
        address = "data:image/png;base64," + base64.b64encode(png("red")).decode()
        data = photos / "s.json"
        data.write_text(json.dumps([{"id": "7", "text": "A pump.", "image": address}]))
    before = texts(photos)
    [sample] = formats.read(data)
    assert sample.image is not None
    assert sample.image.parent == data.with_name(f"{data.name}-images")
    assert texts(photos) == before
    assert kind == "parquet" or f"set-images:{same.name}" in before
