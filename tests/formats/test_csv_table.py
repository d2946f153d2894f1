"""CSV and TSV."""

import csv
import gzip
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
        (b"id,site\n1,a\n", "line 1: no column 'text'; the header is 'id', 'site'"),
        (b"id,image,site\n1,a,b\n", "line 1: no column 'text'; the header is 'id', 'image', 'site'"),
        (b"id,text,id\n1,a,2\n", "line 1: the column 'id' is there twice"),
        (b"id,text\n1,a\n2,b,c\n", "line 3: has 3 columns, the header 2"),
        (b'id,text\n1,"a\nb"\n2\n', "line 4: has 1 columns"),
        (b'id,text\n1,a\n2,"b', "line 3: not a row of a table"),
        (b'id,text\n1,"a"b\n', "line 2: not a row of a table"),
        (b"id,text\n1,\n", r"line 2 \(id '1'\): has no text"),
        (b"id,text\n1,\xe9\n", r"line 2: byte 10 \(0xe9\) is not UTF-8"),
        ("id,text\n1,a".encode("utf-16")[:-1], "begins as UTF-16 and is not .truncated data"),
        (b"id,text,,\n1,a,,b\n", "line 2: has 4 columns, the header 2"),
        (b"sep=;\nid;text\n1;a\n2\n", "line 4: has 1 columns"),
        (gzip.compress(b"id,text\n1,a\n", mtime=0)[:-9], "cannot be unpacked"),
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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"id;text\n1;A, b\n"),
        ("a.csv", b"id;text;a,b\n1;A, b;x\n"),
        ("a.csv", b"sep=;\r\nid;text\r\n1;A, b\r\n"),
        ("a.csv", b'"sep=|"\nid|text\n1|A, b\n'),
        ("a.csv", b"id\ttext\n1\tA, b\n"),
        ("a.tsv", b'id,text\n1,"A, b"\n'),
        ("a.csv", "id;text\n1;A, b\n".encode("utf-16")),
        ("a.csv", "id\ttext\n1\tA, b\n".encode("utf-16-be").join((b"\xfe\xff", b""))),
        ("a.txt", "ID\tText\r\n1\tA, b\r\n".encode("utf-16")),
        ("a.csv", b'id,text,,\n1,"A, b",,\n'),
        ("a.csv", b'id,text,,\n1,"A, b"\n'),
        ("a.csv", b'id,text\n,\n \n1,"A, b",,\n\n ,  \n'),
        ("a.csv.gz", gzip.compress(b"id;text\n1;A, b\n", mtime=0)),
        ("a.TSV.GZ", gzip.compress(b"id\ttext\n1\tA, b\n", mtime=0)),
    ],
)
def test_tables_as_programs_write_them(tmp_path: Path, name: str, content: bytes) -> None:
    path = write(tmp_path, content, name)
    assert formats.find_format(path) == "csv_table"
    [sample] = formats.read(path)
    assert (sample.id, sample.text) == ("1", "A, b")


@pytest.mark.parametrize("row", ['7, "Hello, you", a.jpg', '7 ,"Hello, you" ,a.jpg ', '7, "Hello, you", "a.jpg"'])
def test_blanks_around_values_do_not_count_where_the_header_has_them(tmp_path: Path, row: str) -> None:
    if row.startswith("7 "):
        row = row.replace('" ,', '",')  # a blank behind a quote is an error in any table
    for header in ("id, text, image", 'id, "text", image'):
        path = write(tmp_path, f"{header}\n{row}\n".encode())
        assert list(formats.read(path)) == [Sample("7", "Hello, you", tmp_path / "a.jpg")]


def test_the_name_of_a_picture_has_no_blanks_around_it(tmp_path: Path) -> None:
    path = write(tmp_path, b"id,text,image\n7, Hello, a.jpg\n")
    assert list(formats.read(path)) == [Sample("7", "Hello", tmp_path / "a.jpg")]
    path = write(tmp_path, b"id,file_name,text\n7, a.jpg ,Hello\n")
    assert list(formats.read(path)) == [Sample("7", "Hello", tmp_path / "a.jpg")]


def test_empty_values_at_the_end_of_a_row_may_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, b"id,text,image,year\n1,Hello,a.jpg,7\n2,Only text\n3,No year,b.jpg\n")
    assert list(formats.read(path)) == [
        Sample("1", "Hello", tmp_path / "a.jpg", {"year": "7"}),
        Sample("2", "Only text", None, {"year": ""}),
        Sample("3", "No year", tmp_path / "b.jpg", {"year": ""}),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"id,text,image\n1,Hello\nworld,a.jpg\n", "line 3: has 2 columns, the header 3"),
        (b"id,year,text\n1,1999\n", "line 2: has 2 columns"),
        (b"file_name,text,year\na.jpg\n", "line 2: has 1 columns"),
        (b"id,image\n1\n", "line 2: has 1 columns"),
    ],
)
def test_halves_of_rows_are_no_rows(tmp_path: Path, content: bytes, expected: str) -> None:
    with pytest.raises(SampleError, match=expected):
        list(formats.read(write(tmp_path, content)))


@pytest.mark.parametrize("start", [b"\n", b"\r\n \r\n", b"\xef\xbb\xbf\n", b"\nsep=,\n"])
def test_empty_lines_before_the_header(tmp_path: Path, start: bytes) -> None:
    path = write(tmp_path, start + b"id,text\n1,Hello\n2\n")
    lines = start.count(b"\n") + 3
    with pytest.raises(SampleError, match=f"line {lines}: has 1 columns"):
        list(formats.read(path))
    assert list(formats.read(path, on_bad="skip")) == [Sample("1", "Hello")]
    assert formats.find_format(write(tmp_path, start + b"id,text\n1,Hello\n", "a.txt")) == "csv_table"


def test_a_line_that_is_not_utf_8_costs_its_row_alone(tmp_path: Path) -> None:
    path = write(tmp_path, b'id,text\n1,Z\xfcrich\n2,"a\nZ\xfcrich\nb"\n3,c\n')
    faults: list[SampleError] = []
    samples = list(formats.read(path, on_bad="skip", report=faults.append))
    assert samples == [Sample("3", "c")]
    assert [str(fault).partition(": ")[2] for fault in faults] == [
        "line 2: byte 11 (0xfc) is not UTF-8; save the file in UTF-8",
        "line 4: byte 23 (0xfc) is not UTF-8; save the file in UTF-8",
    ]
    for content in (b"id,text,Gr\xf6\xdfe\n1,a,b\n", b"id,text\r1,Z\xfcrich\r2,b"):
        with pytest.raises(SampleError, match="is not UTF-8"):
            list(formats.read(write(tmp_path, content), on_bad="skip"))


def test_a_column_without_a_name_is_called_by_its_number(tmp_path: Path) -> None:
    """As pandas writes the numbers of its rows."""
    path = write(tmp_path, b",id,,text\n0,1,x,A\n")
    assert list(formats.read(path)) == [Sample("1", "A", None, {"column_1": "0", "column_3": "x"})]


def test_a_number_does_not_take_the_place_of_a_name(tmp_path: Path) -> None:
    path = write(tmp_path, b"id,,text,column_2\n1,x,A,y\n")
    assert list(formats.read(path)) == [Sample("1", "A", None, {"column_2_": "x", "column_2": "y"})]


def test_an_exported_table_with_a_picture_alone_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, b'"id","text","image","n"\n"a","","/a.png",1\n"b","B",,\n')
    first, second = formats.read(path)
    assert (first, second) == (Sample("a", "", Path("/a.png"), {"n": "1"}), Sample("b", "B", None, {"n": ""}))
