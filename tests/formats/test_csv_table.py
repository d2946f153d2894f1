"""CSV and TSV."""

import csv
from pathlib import Path

import pytest

from camml import formats
from camml.errors import SampleError
from camml.formats import csv_table
from camml.types import Sample


def write(folder: Path, content: bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_quotes_line_breaks_and_other_columns(tmp_path: Path) -> None:
    path = write(tmp_path, b'\xef\xbb\xbfid, text,region,image\r\n1,"A ""cat"",\nblack.",EU,a.png\r\n\r\n2,Dog,,\r\n')
    assert list(formats.read(path)) == [
        Sample("1", 'A "cat",\nblack.', tmp_path / "a.png", {"region": "EU"}),
        Sample("2", "Dog", None, {"region": ""}),
    ]


def test_tabs(tmp_path: Path) -> None:
    path = write(tmp_path, b"id\ttext\n1\tA, b\n", "data.tsv")
    assert [sample.text for sample in formats.read(path)] == ["A, b"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\n", "line 1: no column 'id' nor 'text'; the header is empty"),
        (b"id,image\n1,a\n", "line 1: no column 'text'; the header is 'id', 'image'"),
        (b"id,text,id\n1,a,2\n", "line 1: the column 'id' is there twice"),
        (b"id,text\n1,a\n2,b,c\n", "line 3: has 3 columns, the header 2"),
        (b'id,text\n1,"a\nb"\n2\n', "line 4: has 1 columns"),
        (b'id,text\n1,a\n2,"b', "line 3: not a row of a table"),
        (b'id,text\n1,"a"b\n', "line 2: not a row of a table"),
        (b"id,text\n1,\n", r"line 2 \(id '1'\): has no text"),
        (b"id,text\n1,\xe9\n", r"line 2: byte 10 \(0xe9\) is not UTF-8"),
        ("id,text\n1,a".encode("utf-16"), "looks like UTF-16"),
    ],
)
def test_a_bad_table_is_named_with_its_line(content: bytes, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=expected):
        list(formats.read(write(tmp_path, content)))


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_cell_may_be_long(quote: str, tmp_path: Path) -> None:
    text = "word " * 600_000 + "end"
    path = write(tmp_path, f"id,text\n1,{quote}{text}{quote}\n2,b\n".encode())
    assert [sample.text for sample in formats.read(path)] == [text, "b"]


def test_a_quote_that_is_never_closed_does_not_swallow_a_file_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_table, "LONGEST_CELL", 10_000)
    before = csv.field_size_limit(5000)
    try:
        path = write(tmp_path, b'id,text\n1,"' + b"x\n" * 10_000)
        with pytest.raises(
            SampleError, match=r"line 2: not a row of a table .field larger than field limit .10000.*quotes"
        ):
            list(formats.read(path))
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("last", [b"", b"\r"])
def test_lines_may_end_as_on_old_macs(tmp_path: Path, last: bytes) -> None:
    path = write(tmp_path, b'id,text\ra,Pump\rb,"Two\rlines"\rc' + last)
    with pytest.raises(SampleError, match="line 5: has 1 columns"):
        list(formats.read(path))
    samples = list(formats.read(path, on_bad="skip"))
    assert [(sample.id, sample.text) for sample in samples] == [("a", "Pump"), ("b", "Two\rlines")]


def test_a_bad_row_is_skipped(tmp_path: Path) -> None:
    path = write(tmp_path, b"id,text\n1,a\n2\n3,c\n")
    assert [sample.id for sample in formats.read(path, on_bad="skip")] == ["1", "3"]
