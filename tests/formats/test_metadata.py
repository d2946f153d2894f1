"""The files metadata.csv and metadata.jsonl in a folder of pictures, as Hugging Face's imagefolder has them."""

import json
from pathlib import Path

import pytest

from camml import formats
from camml.errors import SampleError
from camml.formats import folder
from tests.formats.shards import table
from tests.formats.test_folder import message, picture, texts


def own(path: Path) -> list[dict[str, object]]:
    return [
        {key: value for key, value in sample.meta.items() if key not in ("file", "origin")}
        for sample in formats.read(path)
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_texts_and_other_columns_are_those_of_the_metadata(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    photos = tmp_path / "photos"
    for name in ("train/a.png", "train/deep/b.png", "train/c.png", "test/a.png"):
        picture(photos / name)
    rows = [{"file_name": "a.png", "text": "A pump.", "kind": "pump"}]
    rows.append({"file_name": "deep/b.png", "text": "A fan.", "kind": "fan"})
    if kind == "parquet":
        table(photos / "train" / "metadata.parquet", rows)
        lines = []
    elif kind == "csv":
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    else:
        lines = [json.dumps(row) for row in rows]
    if lines:
        (photos / "train" / f"metadata.{kind}").write_text("\n".join(lines))
    said = {"test:a.png": "a", "train:a.png": "A pump.", "train:c.png": "c", "train:deep:b.png": "A fan."}
    assert texts(photos) == said
    assert own(photos) == [{}, {"kind": "pump"}, {}, {"kind": "fan"}]
    assert (caplog.text, folder.passed_over(photos)) == ("", {})


def test_the_metadata_may_be_in_a_folder_above(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "a.png")
    picture(tmp_path / "train" / "b.png")
    (tmp_path / "metadata.csv").write_text("file_name,Caption\ntrain/a.png,above\ntrain/b.png,above\n")
    (tmp_path / "train" / "metadata.csv").write_text("file_name,text\na.png,near\n")
    assert texts(tmp_path) == {"train:a.png": "near", "train:b.png": "above"}


def test_a_text_beside_the_picture_comes_first(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("beside")
    (tmp_path / "metadata.csv").write_text("file_name,text,kind\na.png,in the table,x\n")
    assert (texts(tmp_path), own(tmp_path)) == ({"a.png": "beside"}, [{"kind": "x"}])


def test_rows_of_pictures_that_are_not_there_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,A pump.\nb.png,A fan.\n")
    assert texts(tmp_path) == {"a.png": "A pump."}
    assert f"{tmp_path / 'metadata.csv'}: 1 rows name pictures that are not there, such as 'b.png'" in caplog.text


def test_a_table_that_names_no_files_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture(tmp_path / "a.png")
    for name, content in (("metadata.csv", b"key,value\na,\xe9\n"), ("metadata.jsonl", b'{"a": 1}\n{')):
        (tmp_path / name).write_bytes(content)
    assert texts(tmp_path) == {"a.png": "a"}
    assert "passed over 2 files: 1 .csv (metadata.csv), 1 .jsonl (metadata.jsonl)" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("metadata.csv", "file_name,text\na.png,x\na.png,y\n", "line 3: 'a.png' is there already; leave one"),
        ("metadata.jsonl", '{"file_name": "a.png"}\n{', "metadata.jsonl: line 2: not JSON"),
        ("metadata.jsonl", '{"file_name": "a.png"}\n{"text": "x"}', "metadata.jsonl: line 2: has no file_name"),
    ],
)
def test_a_row_that_names_no_picture_is_named_and_stops_no_folder(
    tmp_path: Path, name: str, content: str, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / name).write_text(content)
    assert sorted(texts(tmp_path)) == ["a.png", "b.png"]
    assert "1 of its rows are left out, such as: " in caplog.text
    assert expected in caplog.text


BROKEN = [
    (b'file_name,text\na.png,A pump.\nb.png,"never closed\nc.png,A fan.\n', "line 3"),
    (b'file_name,text\na.png,A pump.\nb.png,"x"y\nc.png,A fan.\n', "line 3"),
]


@pytest.mark.parametrize(("content", "place"), BROKEN)
def test_pictures_that_may_be_named_where_a_table_cannot_be_read_are_left_out(
    tmp_path: Path, content: bytes, place: str
) -> None:
    for name in ("a.png", "b.png", "c.png", "other/d.png"):
        picture(tmp_path / name)
    (tmp_path / "metadata.csv").write_bytes(content)
    assert place in message(tmp_path)
    assert "from there on it cannot be read" in message(tmp_path)
    reported: list[SampleError] = []
    said = texts(tmp_path, on_bad="skip", report=reported.append)
    assert said["a.png"] == "A pump."
    assert [place for place, sample in folder.read(tmp_path, None) if isinstance(sample, SampleError)] == [
        "metadata.csv",
        "b.png",
        "c.png",
        "other/d.png",
    ]
    assert "b.png: may be named in the part of " in str(reported[1])
    assert folder.passed_over(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("metadata.csv", b"file_name,text,tag,tag\na.png,x,y,z\n", "line 1: the column 'tag' is there twice"),
        ("metadata.jsonl", b'{"file_name": "a.png",}\n', "line 1: not JSON"),
        ("metadata.parquet", b"no table", "metadata.parquet: cannot be read as Parquet"),
    ],
)
def test_why_a_table_cannot_be_read_is_said(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / name).write_bytes(content)
    assert expected in message(tmp_path, format="folder")


def test_a_table_that_cannot_be_read_and_names_no_files_is_passed_over_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("key,key\na,b\n")
    assert texts(tmp_path) == {"a.png": "a"}
    assert f"passed over {tmp_path / 'metadata.csv'}: line 1: the column 'key' is there twice" in caplog.text
    assert "passed over 1 file: 1 .csv (metadata.csv)" in caplog.text


def test_a_bad_first_line_is_lost_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png",}\n{"file_name": "b.png", "text": "A fan."}\n')
    assert texts(tmp_path, on_bad="skip") == {"b.png": "A fan."}
    assert "1 of its rows are left out, such as: " in caplog.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "File_Name,Text\na.png,A pump.\n"),
        ("metadata.jsonl", '{"FILE_NAME": "a.png", "text": "A pump."}'),
    ],
)
def test_the_column_of_names_may_be_in_other_letters(tmp_path: Path, name: str, content: str) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / name).write_text(content)
    assert (texts(tmp_path), own(tmp_path)) == ({"a.png": "A pump."}, [{}])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("metadata.csv", b"file_name,text\na.png,caf\xe9\nb.png,A fan.\n", "byte 24 (0xe9) is not UTF-8"),
        ("metadata.csv", b"text;file_name\nx;.\\caf\xe9.png\nA fan.;b.png\n", "is not UTF-8"),
        ("metadata.csv", b"file_name,text\na.png,x,y\nb.png,A fan.\n", "line 2: has 3 columns"),
        (
            "metadata.jsonl",
            b'{"file_name": "a.png", "text": 7}\n{"file_name": "b.png", "text": "A fan."}\n',
            "a number",
        ),
    ],
)
def test_a_picture_whose_row_cannot_be_used_is_left_out(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    bad = "caf\u00e9.png" if b"caf\xe9.png" in content else "a.png"
    for file in (bad, "b.png", "c.png"):
        picture(tmp_path / file)
    (tmp_path / name).write_bytes(content)
    assert f"{tmp_path / name}: line " in message(tmp_path)
    assert expected in message(tmp_path)
    assert texts(tmp_path, on_bad="skip") == {"b.png": "A fan.", "c.png": "c"}
