"""What all formats share: finding the format, ids, skipping, and no exception but ours."""

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camml import formats, plugins
from camml.errors import CaMMLError, OptionError, SampleError, UnknownNameError
from camml.formats import _json_list
from camml.types import Sample
from tests.formats.shards import table

CAT = {"id": "cat", "image": "cat.png", "text": "A cat."}
DOG = {"id": "dog", "image": "dog.png", "text": "A dog."}
TURNS = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]


def as_json(entries: Any) -> bytes:
    return json.dumps(entries).encode()


def as_lines(entries: list[Any]) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def as_csv(entries: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(entries[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(entries)
    return text.getvalue().encode()


WRITERS: dict[str, Callable[[list[Any]], bytes]] = {
    "datastore_json": as_json,
    "jsonl": as_lines,
    "csv_table": as_csv,
}
SUFFIXES = {"datastore_json": ".json", "jsonl": ".jsonl", "csv_table": ".csv"}


def write(folder: Path, format: str, entries: list[Any]) -> Path:
    path = folder / f"data{SUFFIXES[format]}"
    path.write_bytes(WRITERS[format](entries))
    return path


def message(path: Path, **options: Any) -> str:
    with pytest.raises(SampleError) as caught:
        list(formats.read(path, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_formats_there_are() -> None:
    pictures, tables = ["folder", "pdf"], ["arrow", "csv_table", "datastore_json", "jsonl", "llava_json"]
    known = sorted([*pictures, *tables, "hf_dataset", "parquet", "webdataset"])
    assert plugins.names("formats") == known


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.json", as_json([CAT]), "datastore_json"),
        ("a.json", as_json([{"id": "cat", "conversations": TURNS}]), "llava_json"),
        ("a.JSON", b"\xef\xbb\xbf  \n" + as_json([CAT]), "datastore_json"),
        ("a.txt", as_json([CAT]), "datastore_json"),
        ("a", as_json([{"id": "cat", "conversations": TURNS}]), "llava_json"),
        ("a.jsonl", as_lines([CAT]), "jsonl"),
        ("a.ndjson", as_lines([CAT]), "jsonl"),
        ("a.csv", as_csv([CAT]), "csv_table"),
        ("a.tsv", as_csv([CAT], "\t"), "csv_table"),
    ],
)
def test_the_format_is_found_by_looking(name: str, content: bytes, format: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert formats.find_format(path) == format
    assert [sample.id for sample in formats.read(path)] == ["cat"]


def test_at_most_one_format_matches(tmp_path: Path) -> None:
    modules = [plugins.find("formats", name) for name in plugins.names("formats")]
    for name, content in (("a.json", b"[]"), ("b.json", b"{"), ("c", b"[1"), ("d.csv", b"["), ("e.jsonl", b"[")):
        path = tmp_path / name
        path.write_bytes(content)
        assert sum(module.matches(path) for module in modules) == 1, name


def test_what_looks_like_nothing_is_said(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert "its format cannot be told: it is neither a table" in message(path)
    assert "its format cannot be told" in message(tmp_path)
    for name, expected in (("a.xlsx", "save it as CSV"), ("a.zip", "unpack it"), ("a.JPG", "give the folder that it")):
        (tmp_path / name).write_bytes(b"PK")
        assert f"{name}: is " in message(tmp_path / name)
        assert expected in message(tmp_path / name)
    assert "no such file or folder" in message(tmp_path / "nowhere.json")
    assert "cannot be read" in message(tmp_path / ("x" * 300))
    assert "is a folder" in message(tmp_path, format="jsonl")
    with pytest.raises(UnknownNameError, match="there are: arrow, csv_table"):
        formats.read(path, format="xml")


def test_a_setting_that_is_none(tmp_path: Path) -> None:
    path = write(tmp_path, "jsonl", [CAT])
    with pytest.raises(OptionError, match="stop, skip"):
        formats.read(path, on_bad="ignore")
    assert "is not a folder" in message(path, images=path)


@pytest.mark.parametrize("format", WRITERS)
def test_a_sample_keeps_its_other_keys(format: str, tmp_path: Path) -> None:
    path = write(tmp_path, format, [CAT | {"kind": "animal"}])
    assert list(formats.read(path)) == [Sample("cat", "A cat.", tmp_path / "cat.png", {"kind": "animal"})]


@pytest.mark.parametrize("format", WRITERS)
def test_images_start_at_the_folder_given(format: str, tmp_path: Path) -> None:
    path = write(tmp_path, format, [CAT, DOG | {"image": "/pictures/dog.png"}, CAT | {"id": "none", "image": ""}])
    images = [sample.image for sample in formats.read(path, images=tmp_path / "pictures")]
    assert images == [tmp_path / "pictures" / "cat.png", Path("/pictures/dog.png"), None]


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "jsonl", [CAT])
    monkeypatch.chdir(tmp_path)
    assert [sample.image for sample in formats.read("data.jsonl")] == [tmp_path / "cat.png"]


def test_a_missing_jpg_is_found_as_gif_or_png(tmp_path: Path) -> None:
    path = write(tmp_path, "jsonl", [CAT | {"image": "a.jpg"}, DOG | {"image": "b.jpg"}])
    (tmp_path / "a.png").touch()
    assert [sample.image for sample in formats.read(path)] == [tmp_path / "a.png", tmp_path / "b.jpg"]


@pytest.mark.parametrize("format", [*WRITERS, "parquet"])
def test_pictures_that_are_taken_for_others_are_counted_with_an_example(
    tmp_path: Path, format: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg", "./d.png", normalize("NFC", "é.png")]
    entries = [CAT | {"id": name.strip("./"), "image": name} for name in names]
    path = table(tmp_path / "data.parquet", entries) if format == "parquet" else write(tmp_path, format, entries)
    (tmp_path / "train").mkdir()
    there = ["train/a.jpg", "b.png", "d.png", normalize("NFD", "é.png")]
    for name in there:
        (tmp_path / name).touch()
    samples = list(formats.read(path, format=format))
    assert [sample.image for sample in samples] == [tmp_path / name for name in [*there[:2], "c.jpg", *there[2:]]]
    assert {type(sample) for sample in samples} == {Sample}
    [said] = caplog.messages
    assert said == (
        f"{path}: pictures that are not there under the names given, for which others were taken: 2, such as "
        f"{tmp_path / 'train' / 'a.jpg'} for 'a.jpg'"
    )


@pytest.mark.parametrize("format", WRITERS)
def test_an_id_that_comes_twice_is_named_with_both_places(format: str, tmp_path: Path) -> None:
    path = write(tmp_path, format, [CAT, DOG, CAT])
    first, second = {
        "datastore_json": ("entry 1", "entry 3"), "jsonl": ("line 1", "line 3"), "csv_table": ("line 2", "line 4")
    }[format]  # fmt: skip
    said = message(path)
    assert f"{path}: {second}: the id 'cat' is that of {first} already" in said


def test_an_id_with_a_slash_is_refused_with_the_remedy(tmp_path: Path) -> None:
    said = message(write(tmp_path, "jsonl", [DOG, CAT | {"id": "VG_100K_2/2"}]))
    assert "line 2: the id 'VG_100K_2/2' has a slash; replace it" in said


def test_ids_are_mended_when_asked_for(tmp_path: Path) -> None:
    ids = ["a/b", "a_b", "a", "a", "a#2", "a"]
    path = write(tmp_path, "jsonl", [CAT | {"id": id} for id in ids])
    mended = [sample.id for sample in formats.read(path, mend_ids=True)]
    assert mended == ["a_b", "a_b#2", "a", "a#2", "a#2#2", "a#3"]


IDS = [
    "Screenshot 2026-05-01 at 3.14.15\u202fPM", "v\u00a013.05", "می\u200cخواهم", "क्\u200dष", "東京\u3000駅",
    "👩\u200d🔬", "\u200fשלום", "e\u0301", "soft\u00adhyphen", "\U0001fae9", "\ue000",
]  # fmt: skip
"""What people's file names and languages need."""


@pytest.mark.parametrize("id", IDS)
def test_ids_of_every_script_stay_as_they_are(id: str, tmp_path: Path) -> None:
    path = write(tmp_path, "jsonl", [CAT | {"id": id}])
    for mend in (False, True):
        assert [sample.id for sample in formats.read(path, mend_ids=mend)] == [id]


def test_whatever_an_id_must_not_hold_is_mended(tmp_path: Path) -> None:
    ids = ["win\\train\\1", "a\nb", "a\x85b", "a\u2028b", "a\0b", "a\ud800b"]
    path = write(tmp_path, "jsonl", [CAT | {"id": id} for id in ids])
    assert [sample.id for sample in formats.read(path, mend_ids=True)] == [
        "win_train_1", "a_b", "a_b#2", "a_b#3", "a_b#4", "a_b#5"
    ]  # fmt: skip


def test_numbers_that_json_does_not_have_become_null(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "a", "text": "b", "n": 1e999, "m": [-1e999, {"k": NaN}], "x": 2.5}\n')
    [sample] = formats.read(path)
    assert sample.meta == {"n": None, "m": [None, {"k": None}], "x": 2.5}


@pytest.mark.parametrize("depth", [101, 490, 700])
def test_metadata_nested_too_deeply_is_a_bad_sample(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"id": "{n}", "text": "b", "m": {"[" * n}{"]" * n}}}\n' for n in (99, depth)))
    assert f"a.jsonl: line 2 (id '{depth}'): its extra keys are nested too deeply" in message(path)
    assert [sample.id for sample in formats.read(path, on_bad="skip")] == ["99"]


def test_ids_of_llava_json_are_mended_without_asking_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    (tmp_path / "mix.json").write_text(json.dumps([{"id": id, "conversations": turns} for id in ("1", "VG/2", "1")]))
    assert [sample.id for sample in formats.read(tmp_path / "mix.json")] == ["1", "VG_2", "1#2"]
    assert "2 ids that repeat or hold a slash were changed, such as 'VG/2' to 'VG_2'" in caplog.text
    with pytest.raises(SampleError, match="has a slash"):
        list(formats.read(tmp_path / "mix.json", mend_ids=False))


def test_bad_samples_are_skipped_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(as_lines([CAT, {"id": "x"}]) + b"\xff\n{\n" + as_lines([CAT, DOG]))
    reported: list[SampleError] = []
    samples = list(formats.read(path, on_bad="skip", report=reported.append))
    assert [sample.id for sample in samples] == ["cat", "dog"]
    assert [str(error).split(": ")[1] for error in reported] == ["line 2 (id 'x')", "line 3", "line 4", "line 5"]


def test_by_default_skipped_samples_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, "jsonl", [CAT, {"id": "x"}])
    assert len(list(formats.read(path, on_bad="skip"))) == 1
    assert "skipped: " in caplog.text


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"text": "a"}, "has no id; give each sample its own"),
        ({"id": None, "text": "a"}, "its id is null"),
        ({"id": True, "text": "a"}, "its id is true or false"),
        ({"id": 1.5, "text": "a"}, "its id is a number"),
        ({"id": [], "text": "a"}, "its id is a list"),
        ({"id": " ", "text": "a"}, "its id is empty"),
        ({"id": "a\nb", "text": "a"}, "the id 'a\\nb' has a control character"),
        ({"id": "a\u2028b", "text": "a"}, "has a control character"),
        ({"id": "a\0b", "text": "a"}, "has a NUL character"),
        ({"id": "\ud800", "text": "a"}, "has an unpaired surrogate"),
        ({"id": "a\\b", "text": "a"}, "has a slash"),
        ({"id": "a"}, "(id 'a'): has no text; its keys are 'id'"),
        ({"id": "a", "text": ""}, "(id 'a'): has no text; write one"),
        ({"id": "a", "text": " <image>\n"}, "(id 'a'): has no text; write one"),
        ({"id": "a", "text": []}, "(id 'a'): has no text; write one"),
        ({"id": "a", "text": None}, "its text is null"),
        ({"id": "a", "text": 5}, "its text is a number"),
        ({"id": "a", "text": ["b", 5]}, "its text is a list; it must be a string or a list of strings"),
        ({"id": "a", "text": "b\0"}, "its text has a NUL character"),
        ({"id": "a", "text": "\udfff"}, "an unpaired surrogate ('\\udfff') in its text"),
        ({"id": "a", "text": "b", "image": 5}, "its image is a number"),
        (
            {"id": "a", "text": "b", "image": {"path": "c.png"}},
            "its image is an object; it must be the path of one image",
        ),
        ({"id": "a", "text": "b", "image": ["c.png", "d.png"]}, "has 2 pictures, and a sample has one"),
        ({"id": "a", "text": "b", "image": "http://x/y.png"}, "its image is the address"),
        ({"id": "a", "text": "b", "image": "\0"}, "its image has a NUL character"),
        ({"id": "a", "text": "b", "kind": "\ud800"}, "in its extra keys is not valid Unicode"),
        ({"id": "a", "conversations": {}}, "its conversations are an object"),
        ({"id": "a", "conversations": []}, "has no text; write one"),
        ({"id": "a", "conversations": ["hello"]}, "turn 1 must be"),
        ({"id": "a", "conversations": [*TURNS, {"from": "gpt"}]}, "turn 3 must be"),
        ("text", "is a string, not an object"),
        (None, "is null, not an object"),
        ([CAT], "is a list, not an object"),
    ],
)
def test_a_bad_entry_is_named_with_its_place(entry: Any, expected: str, tmp_path: Path) -> None:
    said = message(write(tmp_path, "jsonl", [CAT, entry]))
    assert said.startswith(f"{tmp_path / 'data.jsonl'}: line 2")
    assert expected in said


@pytest.mark.parametrize("id", [0, 7, -3, 10**40])
def test_an_integer_id_becomes_a_string(id: int, tmp_path: Path) -> None:
    assert [sample.id for sample in formats.read(write(tmp_path, "jsonl", [CAT | {"id": id}]))] == [str(id)]


def test_a_long_path_of_an_image_is_no_exception(tmp_path: Path) -> None:
    path = write(tmp_path, "jsonl", [CAT | {"image": "x" * 5000 + ".jpg"}])
    assert len(list(formats.read(path))) == 1


KEYS = ["id", "image", "text", "conversations", "from", "value", "x", "messages", "role", "content", "type"]
KEYS += ["Text", "images", "file_name"]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=12,
)
NAMES = st.sampled_from(["a.json", "a.jsonl", "a.csv", "a.tsv", "a"])
FORMATS = st.sampled_from([None, "csv_table", "datastore_json", "jsonl", "llava_json"])
quick = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def is_one_line(error: CaMMLError) -> None:
    assert "\n" not in str(error)


def only_our_errors(path: Path, format: str | None) -> None:
    """Read in both ways; each sample is usable as a sample of a datastore."""
    for on_bad in ("stop", "skip"):
        try:
            for sample in formats.read(path, format=format, on_bad=on_bad, report=lambda error: None):
                assert sample.id
                assert sample.text.strip() or sample.image
                json.dumps([sample.id, sample.text, str(sample.image), sample.meta], ensure_ascii=False).encode()
        except CaMMLError as error:
            is_one_line(error)


@pytest.mark.long
@quick
@given(NAMES, FORMATS, st.binary(max_size=60))
def test_random_bytes_raise_only_our_errors(tmp_path: Path, name: str, format: str | None, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    only_our_errors(tmp_path / name, format)


@pytest.mark.long
@quick
@given(NAMES, FORMATS, JSON_VALUES)
def test_random_json_raises_only_our_errors(tmp_path: Path, name: str, format: str | None, value: Any) -> None:
    (tmp_path / name).write_bytes(as_json(value) if format != "jsonl" else as_lines([value, value]))
    only_our_errors(tmp_path / name, format)


@pytest.mark.long
@quick
@given(st.sampled_from(["datastore_json", "jsonl", "csv_table"]), st.data())
def test_damaged_files_raise_only_our_errors(tmp_path: Path, format: str, data: st.DataObject) -> None:
    entries = [CAT | {"n": 'é 😀 \\ "'}, DOG | {"n": "x"}]
    content = bytearray(WRITERS[format](entries))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"data{SUFFIXES[format]}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    only_our_errors(path, None)


def test_an_empty_folder_is_said_to_be_one(tmp_path: Path) -> None:
    assert message(tmp_path) == f"{tmp_path}: is an empty folder; check the path"


PIPED = {
    "jsonl": as_lines([CAT, DOG]), "csv_table": as_csv([CAT, DOG]), "datastore_json": as_json([CAT, DOG]),
    "llava_json": as_json([{"id": id, "conversations": TURNS} for id in ("cat", "dog")]),
}  # fmt: skip


@contextmanager
def pipe(folder: Path, *pieces: bytes) -> Iterator[Path]:
    """A named pipe into which a thread writes some bytes, piece by piece."""
    path = folder / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with suppress(BrokenPipeError), path.open("wb", buffering=0) as stream:
            for piece in pieces:
                stream.write(piece)

    writer = Thread(target=write, daemon=True)
    writer.start()
    yield path
    writer.join(9)
    path.unlink()


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "mark"])
@pytest.mark.parametrize("format", PIPED)
def test_a_pipe_is_read_as_a_file(tmp_path: Path, format: str, mark: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_json_list, "CHUNK", 16)
    data = mark + PIPED[format]
    with pipe(tmp_path, data[:1], data[1:9], data[9:]) as path:
        assert [sample.id for sample in formats.read(path, format=format)] == ["cat", "dog"]
    with pipe(tmp_path) as path:
        assert "pipe: is empty (0 bytes)" in message(path, format=format)
    with pipe(tmp_path, gzip.compress(PIPED[format], mtime=0)) as path:
        assert [sample.id for sample in formats.read(path, format=format)] == ["cat", "dog"]
    data = mark + b"\n" * 9_000 + PIPED[format].replace(b"dog", b"\xff", 1)
    with pipe(tmp_path, data) as path:
        assert f"byte {data.index(0xFF)} (0xff) is not UTF-8" in message(path, format=format)


def test_pictures_named_in_a_pipe_are_looked_for_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.png").write_bytes(b"a picture")
    monkeypatch.chdir(tmp_path / "here")
    entry = {"id": "a", "text": "x", "image": "a.png"}
    with pipe(tmp_path, as_lines([entry])) as path:
        [sample] = formats.read(path, format="jsonl")
    assert sample.image == tmp_path / "here" / "a.png"
    with pipe(tmp_path, as_lines([entry | {"image": "data:image/png;base64,AAAA"}])) as path:
        assert "no folder beside a pipe" in message(path, format="jsonl")


@pytest.mark.parametrize("format", [None, "jsonl"])
def test_a_pattern_of_json_lines_is_refused_with_the_way_to_join_them(tmp_path: Path, format: str | None) -> None:
    (tmp_path / "a-1.jsonl").write_bytes(as_lines([CAT]))
    assert "JSON lines are joined with `cat`" in message(str(tmp_path / "a-*.jsonl"), format=format)


@pytest.mark.parametrize("format", ["parquet", "pdf", "hf_dataset", "folder", "webdataset"])
def test_a_format_that_cannot_be_read_from_a_pipe_says_so(tmp_path: Path, format: str) -> None:
    with pipe(tmp_path, b"PAR1") as path:
        said = message(path, format=format)
        path.read_bytes()
    assert f"{path}: {format} cannot be read from a pipe; write it to a file, and give that file" in said
