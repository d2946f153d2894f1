"""The folder of a Hugging Face dataset; the layout is written here, as `save_to_disk` does."""

import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from camml import formats
from camml.errors import CaMMLError, DiskError, SampleError
from camml.images import open_image

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(color: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 3), color).save(stream, "PNG")
    return stream.getvalue()


def save(folder: Path, table: pa.Table, parts: int = 1) -> Path:
    folder.mkdir(parents=True)
    files = [f"data-{part:05d}-of-{parts:05d}.arrow" for part in range(parts)]
    rows = -(-table.num_rows // parts)
    for part, name in enumerate(files):
        with pa.ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(table.slice(part * rows, rows), max_chunksize=2)
    state = {"_data_files": [{"filename": name} for name in files], "_fingerprint": "0", "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def colors(images: list[Any]) -> pa.Table:
    count = len(images)
    return pa.table(
        {
            "id": pa.array(range(count)),
            "text": [f"Number {i}." for i in range(count)],
            "image": pa.array(images, IMAGE),
            "day": [date(2024, 1, 1 + i) for i in range(count)],
            "score": [float("nan"), *[0.5] * (count - 1)],
            "raw": [b"\0"] * count,
        }
    )


def test_images_in_the_dataset_are_written_once_beside_it(tmp_path: Path) -> None:
    images = [{"bytes": png(c), "path": path} for c, path in (("red", "x.png"), ("blue", None), ("red", "y.png"))]
    folder = save(tmp_path / "flags", colors([*images, None]), parts=2)
    for _ in range(2):
        samples = list(formats.read(folder))
    assert [sample.id for sample in samples] == ["0", "1", "2", "3"]
    assert samples[0].image == samples[2].image
    assert samples[3].image is None
    assert [open_image(sample.image).getpixel((0, 0)) for sample in samples[:2] if sample.image] == [
        (255, 0, 0),
        (0, 0, 255),
    ]
    assert sorted(path.suffix for path in (tmp_path / "flags-images").iterdir()) == [".png", ".png"]
    assert samples[0].meta == {"day": "2024-01-01", "score": None}
    assert samples[1].meta == {"day": "2024-01-02", "score": 0.5}


def test_images_in_a_dataset_that_is_the_working_directory_are_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(save(tmp_path / "flags", colors([{"bytes": png("red"), "path": None}])))
    image = next(formats.read(".")).image
    assert image is not None
    assert image.parent == tmp_path / "flags-images"


def test_an_unfinished_image_is_written_again(tmp_path: Path) -> None:
    folder = save(tmp_path / "flags", colors([{"bytes": png("red"), "path": None}]))
    image = next(formats.read(folder)).image
    assert image is not None
    image.write_bytes(b"")
    assert next(formats.read(folder)).image == image
    assert image.read_bytes() == png("red")


def test_images_are_written_to_the_folder_given(tmp_path: Path) -> None:
    folder = save(tmp_path / "flags", colors([{"bytes": png("red"), "path": None}]))
    image = next(formats.read(folder, images=tmp_path / "deep" / "pictures")).image
    assert image is not None
    assert image.parent == tmp_path / "deep" / "pictures"
    (tmp_path / "deep" / "file").touch()
    with pytest.raises(DiskError, match="name another folder"):
        next(formats.read(folder, images=tmp_path / "deep" / "file" / "pictures"))


def test_paths_of_images_start_at_the_dataset_or_the_folder_given(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "text": ["A.", "B."], "image": ["a.png", None]})
    folder = save(tmp_path / "flags", table)
    assert [sample.image for sample in formats.read(folder)] == [folder / "a.png", None]
    assert next(formats.read(folder, images=tmp_path)).image == tmp_path / "a.png"
    by_struct = save(tmp_path / "two", colors([{"bytes": None, "path": "a.png"}]))
    assert next(formats.read(by_struct)).image == by_struct / "a.png"


def test_conversations(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This."}]
    folder = save(tmp_path / "chat", pa.table({"id": ["a"], "conversations": [turns]}))
    assert next(formats.read(folder)).text == "What?This."


def test_a_bad_row_is_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "flags", pa.table({"id": ["a", "b", "a"], "text": ["A.", None, "C."]}))
    with pytest.raises(SampleError, match=r"row 2 \(id 'b'\): its text is null"):
        list(formats.read(folder))
    assert [sample.id for sample in formats.read(folder, on_bad="skip")] == ["a"]


def test_what_is_no_dataset_is_said(tmp_path: Path) -> None:
    splits = tmp_path / "splits"
    save(splits / "train", pa.table({"id": ["a"], "text": ["A."]}))
    (splits / "dataset_dict.json").write_text('{"splits": ["train"]}')
    with pytest.raises(SampleError, match="one dataset for each split; give one of them: train"):
        list(formats.read(splits))
    folder = save(tmp_path / "flags", pa.table({"id": ["a"], "text": ["A."]}))
    state = folder / "state.json"
    for content, expected in (
        ("{", "not JSON"),
        ("[]", "does not list the files"),
        ('{"_data_files": []}', "does not list the files"),
        ('{"_data_files": [{"filename": "../secret.arrow"}]}', "does not list the files"),
        ('{"_data_files": [{"filename": 5}]}', "does not list the files"),
        ('{"_data_files": [{"filename": "gone.arrow"}]}', "cannot be read as Arrow"),
        ('{"_data_files": [{"filename": "a"}], "_indices_data_files": [{"filename": "b"}]}', "selection of rows"),
    ):
        state.write_text(content)
        with pytest.raises(SampleError, match=expected):
            list(formats.read(folder))


@pytest.mark.long
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_arrow_file_raises_only_our_errors(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "flags"
    if not folder.exists():
        save(folder, pa.table({"id": ["a", "b", "c"], "text": ["A.", "Bb.", "Ccc."]}))
        (tmp_path / "whole").write_bytes(next(folder.glob("*.arrow")).read_bytes())
    content = bytearray((tmp_path / "whole").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    next(folder.glob("*.arrow")).write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        said = f"{len(list(formats.read(folder)))} samples"
    except CaMMLError as error:
        said = str(error)
    assert "\n" not in said
