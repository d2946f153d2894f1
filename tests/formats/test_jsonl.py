"""JSON lines."""

import gzip
import json
from pathlib import Path

import pytest

from camml import formats
from camml.errors import SampleError


def test_text_and_conversations_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This."}]
    lines = [json.dumps({"id": "a", "text": "One. Two."}), "", json.dumps({"id": "b", "conversations": turns})]
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert [(sample.id, sample.text) for sample in formats.read(path)] == [("a", "One. Two."), ("b", "What?This.")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"id: 3", r"line 2: not JSON \(Expecting value at column 1\); write one object a line"),
        (b'{"id": "b", ', r"line 2: not JSON \(Expecting property name"),
        (b'{"id": "b"} {}', r"line 2: not JSON \(Extra data at column 13\)"),
        (b'{"id": "b", "text": "\xe9"}', r"line 2: byte 51 \(0xe9\) is not UTF-8"),
        (b"[" * 100_000, "line 2: not JSON .nested too deeply"),
        (b"1" * 5000, "line 2: not JSON .Exceeds the limit"),
        (b'{"id": "b", "text": "a\0"}', r"line 2: not JSON \(Invalid control character"),
    ],
)
def test_a_bad_line_is_named_by_its_number(line: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"id": "a", "text": "123456"}\n' + line + b'\n{"id": "c", "text": "d"}')
    with pytest.raises(SampleError, match=expected):
        list(formats.read(path))
    assert [sample.id for sample in formats.read(path, on_bad="skip")] == ["a", "c"]


def test_an_empty_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.touch()
    with pytest.raises(SampleError, match="is empty"):
        list(formats.read(path))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_packed_lines_are_read(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(gzip.compress(mark + b'{"id": "a", "text": "one"}\n{"id": "b", "text": "\xff"}\n', mtime=0))
    assert formats.find_format(path) == "jsonl"
    assert [sample.id for sample in formats.read(path, on_bad="skip")] == ["a"]
    path.write_bytes(gzip.compress(b"", mtime=0))
    with pytest.raises(SampleError, match="is empty"):
        list(formats.read(path))
