"""Reading benchmark files, whatever is in them, and writing results."""

import gzip
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camml.errors import CaMMLError, DiskError, SampleError
from camml.evaluation import files
from camml.evaluation.files import (
    listed,
    read_json,
    read_lines,
    read_records,
    read_table,
    read_text,
    shown,
    write_json,
    write_lines,
)


def _file(folder: Path, content: str | bytes) -> Path:
    path = folder / "file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_lines_keep_their_numbers_and_blank_ones_are_nothing(tmp_path: Path) -> None:
    path = _file(tmp_path, '\ufeff{"a": 1}\n\n  \r\n{"a": "\\u2028x\u2028y"}')
    assert list(read_lines(path)) == [(1, {"a": 1}), (4, {"a": "\u2028x\u2028y"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a": ', "line 2 is not JSON"),
        ('{"a": 1}\n[1]', r"line 2 should be a JSON object, not \[1\]"),
        (b'{"a": "\xff"}', r"is not UTF-8 text \(byte 7\)"),
        ("[" * 100_000, "line 1 is not JSON"),
        ('{"a": 1}\n{"b": {"a": 1, "a": 2}}', "line 2: the key 'a' is there twice in an object"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(SampleError, match=message):
        list(read_lines(_file(tmp_path, content)))


@pytest.mark.parametrize(
    ("content", "message"),
    [('{\n"a" 1}', "line 2, column 5"), ("[" * 100_000, "nested too deeply"), ("", "line 1"),
     ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice in an object"),
     ("1" * 5000, "4300 digits")],
)  # fmt: skip
def test_broken_json_is_placed(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(SampleError, match=message):
        read_json(_file(tmp_path, content))


def test_a_packed_file_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '\ufeff{"a": "\u00e9"}\r\n{"a": 2}\n'
    packed = gzip.compress(text.encode())
    assert list(read_lines(_file(tmp_path, packed))) == [(1, {"a": "\u00e9"}), (2, {"a": 2})]
    assert read_text(_file(tmp_path, packed)) == read_text(_file(tmp_path, text))
    for broken in (packed[:-9], packed[:5], packed[:12] + b"?" + packed[13:]):
        with pytest.raises(SampleError, match=r"file cannot be unpacked \(.*\); copy or write it again"):
            read_text(_file(tmp_path, broken))
    monkeypatch.setattr(files, "LARGEST", 10)
    with pytest.raises(SampleError, match="unpacks to more than 10 B"):
        read_text(_file(tmp_path, packed))


def test_records_are_a_list_or_lines(tmp_path: Path) -> None:
    assert read_records(_file(tmp_path, ' [{"a": 1}, {"a": 2}]')) == [(1, {"a": 1}), (2, {"a": 2})]
    assert read_records(_file(tmp_path, '{"a": 1}\n{"a": 2}')) == [(1, {"a": 1}), (2, {"a": 2})]
    with pytest.raises(SampleError, match='entry 2 should be a JSON object, not "x"'):
        read_records(_file(tmp_path, '[{"a": 1}, "x"]'))


def test_a_missing_file_and_a_folder_are_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SampleError, match=f"no file {path}"):
            read_text(path)
    with pytest.raises(SampleError, match="no file"):
        read_table(tmp_path)


def test_a_table_keeps_its_cells_as_text(tmp_path: Path) -> None:
    path = _file(tmp_path, 'index\tA\tquestion\n1\t007\t"two\nlines, a ""word"" and\ta tab"\n2\t\tNone\n')
    assert read_table(path) == [
        {"index": "1", "A": "007", "question": 'two\nlines, a "word" and\ta tab'},
        {"index": "2", "A": "", "question": "None"},
    ]


def test_a_broken_table_is_said(tmp_path: Path) -> None:
    for content in ("", "a\tb\n1\n", b"a\tb\n\xff\xfe\t1\n"):
        with pytest.raises(SampleError, match="is not a tab-separated table"):
            read_table(_file(tmp_path, content))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = _file(tmp_path, content)
    for read in (read_json, read_records, read_table):
        with suppress(CaMMLError):
            read(path)


def test_results_are_written_whole_with_their_folders(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b" / "x.json", {"ü": 1})
    write_lines(tmp_path / "a" / "y.jsonl", [{"n": 1}, {"n": 2}])
    assert json.loads((tmp_path / "a" / "b" / "x.json").read_text()) == {"ü": 1}
    assert [value for _, value in read_lines(tmp_path / "a" / "y.jsonl")] == [{"n": 1}, {"n": 2}]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b", "y.jsonl"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="cannot make the folder"):
        write_json(tmp_path / "file" / "x.json", {})


def test_messages_stay_short() -> None:
    assert shown("x" * 100) == "x" * 60 + "..."
    assert listed(map(str, range(7))) == "0, 1, 2, 3, 4 and 2 more"
    assert listed(["a"]) == "a"
