"""Datastore JSON, and the list that is read piece by piece."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camml import formats
from camml.errors import SampleError
from camml.formats import _json_list


def write(folder: Path, content: bytes) -> Path:
    path = folder / "data.json"
    path.write_bytes(content)
    return path


def test_text_is_a_string_or_a_list_of_strings(tmp_path: Path) -> None:
    entries = [{"id": 1, "image": "a.png", "text": ["What?", " This."]}, {"id": 2, "text": " Whole text. "}]
    samples = list(formats.read(write(tmp_path, json.dumps(entries).encode())))
    assert [sample.text for sample in samples] == ["What? This.", "Whole text."]
    assert [sample.image for sample in samples] == [tmp_path / "a.png", None]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\xef\xbb\xbf", "holds nothing but white space"),
        (b" \n", "holds nothing but white space"),
        (b'{"1": {}}', "is an object, not a list of samples"),
        (b'"text"', "is a string, not a list"),
        (b"-12.5", "is a number, not a list"),
        (b"null", "is null, not a list"),
        (b"true", "is true, not a list"),
        (b"hello world", "is not JSON (it begins with 'hello world')"),
        (b"nonsense", "is not JSON (it begins with 'nonsense')"),
        (b"[", "line 1, in entry 1: not JSON: Expecting value (the file ends here: it was cut short)"),
        (b'[{"id": "1"', "in entry 1: not JSON: Expecting ',' delimiter (the file ends here: it was cut short)"),
        (b'[\n{"id": "1", "text": "a"}', "line 2, in entry 1: not JSON: expected ',' or ']' here (the file ends here"),
        (b'[\n{"id": "1", "text": "a"},\n]', "line 3, in entry 2: not JSON: Expecting value"),
        (b'[\n{"id": "1", "text": "a"}\n{"id"', "line 3, in entry 1: not JSON: expected ',' or ']' here"),
        (b'[\n{"id": "1", "text": "a"},\n{id: "2"}]', "line 3, in entry 2: not JSON: Expecting property name"),
        (b'[{"id": "1", "text": "a"}] x', "there is more after the end of the list"),
        (b'[{"id": "1", "text": "a\0b"}]', "Invalid control character"),
        (b'[{"id": "1", "text": "a\xff"}]', "byte 23 (0xff) is not UTF-8; save the file in UTF-8"),
        (b"\xff\xfe[", "begins as UTF-16 and is not (truncated data); save the file in UTF-8"),
        (
            b'{"info": {}, "images": [], "annotations": []}',
            "is an object, not a list of samples (of COCO or VQA? write a",
        ),
        (b'{"id": "1", "text": "a"}\n{"id": "2"}', "is an object, not a list of samples (one object per line?"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" + b"1" * 5000 + b"]", "in entry 1: not JSON: Exceeds the limit"),
    ],
)
def test_what_is_not_a_list_is_said(content: bytes, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(SampleError, match=re.escape(expected)) as caught:
        list(formats.read(path))
    assert str(caught.value).startswith(f"{path}: ")


def test_an_empty_list_holds_no_sample(tmp_path: Path) -> None:
    assert list(formats.read(write(tmp_path, b" [ ] "))) == []


def test_nan_becomes_none(tmp_path: Path) -> None:
    samples = list(formats.read(write(tmp_path, b'[{"id": 1, "text": "a", "score": NaN, "high": -Infinity}]')))
    assert samples[0].meta == {"score": None, "high": None}


@pytest.mark.long
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        )
    ),
    st.integers(1, 7),
    st.booleans(),
    st.sampled_from([None, 2]),
)
def test_pieces_give_what_the_whole_gives(
    tmp_path: Path, values: list[Any], chunk: int, ascii: bool, indent: int | None
) -> None:
    """Whatever character the windows end at."""
    text = json.dumps(values, ensure_ascii=ascii, indent=indent)
    path = write(tmp_path, text.encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_json_list, "CHUNK", chunk)
        assert list(_json_list.elements(path)) == values


def test_the_place_of_a_bad_byte_does_not_depend_on_the_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = '["é", "日本", '.encode() + b'"\xe6\x97 '
    bad = content.index(b"\xe6\x97 ")
    path = write(tmp_path, content)
    for chunk in range(1, len(content) + 1):
        monkeypatch.setattr(_json_list, "CHUNK", chunk)
        with pytest.raises(SampleError, match=f"byte {bad} "):
            list(_json_list.elements(path))


def test_memory_holds_a_window_not_the_file(tmp_path: Path) -> None:
    import tracemalloc

    entry = b'{"id": "1", "text": "' + b"x" * 1000 + b'"}'
    path = write(tmp_path, b"[" + b",".join([entry] * 20_000) + b"]")
    tracemalloc.start()
    count = sum(1 for _ in _json_list.elements(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < path.stat().st_size / 2


@pytest.mark.parametrize("chunk", [1, 3, 2**20])
@pytest.mark.parametrize("packed", [False, True])
def test_utf_16_and_packed_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, packed: bool
) -> None:
    monkeypatch.setattr(_json_list, "CHUNK", chunk)
    text = json.dumps([{"id": "1", "text": "日本 😀 é"}, {"id": "2", "text": "b" * 9000}], ensure_ascii=False)
    path = tmp_path / "data.json.gz"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode("utf-16"))
    assert formats.find_format(path) == "datastore_json"
    assert [sample.text for sample in formats.read(path)] == ["日本 😀 é", "b" * 9000]
