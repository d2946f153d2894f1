"""Rules that all formats share: usual names of columns, texts, conversations and pictures of an entry."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from camml import formats
from camml.errors import SampleError
from camml.images import open_image
from camml.types import Sample
from tests.formats.shards import png, table
from tests.formats.test_formats import pipe

TALK = [{"from": "human", "value": "Which seal?"}, {"from": "gpt", "value": "4711."}]
CHAT = [{"role": "user", "content": " Which seal?\n"}, {"role": "assistant", "content": "4711."}]


def read(folder: Path, *entries: dict[str, Any], name: str = "data.jsonl", **options: Any) -> list[Sample]:
    path = folder / name
    texts = [json.dumps(entry) for entry in entries]
    path.write_text("\n".join(texts) if name.endswith("l") else f"[{','.join(texts)}]")
    return list(formats.read(path, **options))


def message(folder: Path, *entries: dict[str, Any], **options: Any) -> str:
    with pytest.raises(SampleError) as caught:
        read(folder, *entries, **options)
    return str(caught.value)


@pytest.mark.parametrize("name", ["data.jsonl", "data.json"])
def test_of_a_text_and_a_conversation_both_are_read(tmp_path: Path, name: str) -> None:
    both = {"id": "1", "text": "Pump 7.", "conversations": TALK}
    [sample] = read(tmp_path, both, name=name)
    assert sample == Sample("1", "Pump 7.\nWhich seal?4711.")
    first, second = read(tmp_path, {"id": "0", "text": "No talk."}, both, name=name)
    assert (first.text, second.text) == ("No talk.", "Pump 7.\nWhich seal?4711.")
    assert read(tmp_path, both | {"text": "Which seal?4711."}, name=name) == [Sample("1", "Which seal?4711.")]
    assert read(tmp_path, both | {"text": ""}, name=name) == [Sample("1", "Which seal?4711.")]
    assert "its text is a number" in message(tmp_path, both | {"text": 5}, name=name)


def test_conversations_in_a_csv_table_are_a_column_like_others(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("id,text,conversations\n1,Pump,yes\n")
    assert list(formats.read(path)) == [Sample("1", "Pump", None, {"conversations": "yes"})]


@pytest.mark.parametrize("key", ["conversations", "messages"])
@pytest.mark.parametrize("name", ["data.jsonl", "data.json"])
def test_turns_may_have_a_role_and_a_content(tmp_path: Path, key: str, name: str) -> None:
    assert [s.text for s in read(tmp_path, {"id": 1, key: CHAT}, name=name)] == ["Which seal?4711."]


def test_a_content_may_be_a_list_of_parts(tmp_path: Path) -> None:
    parts = [{"type": "image", "text": None, "index": 0}, {"type": "text", "text": "Which seal?", "index": None}]
    chat = [{"role": "user", "content": parts}, {"role": "assistant", "content": [{"type": "text", "text": "4711."}]}]
    entry = {"id": "1", "messages": chat, "image": "a.png"}
    assert read(tmp_path, entry) == [Sample("1", "Which seal?4711.", tmp_path / "a.png")]
    rows = [entry | {"images": [{"bytes": png("red"), "path": None}]}]
    del rows[0]["image"]
    [sample] = formats.read(table(tmp_path / "x.parquet", rows))
    assert (sample.text, sample.image is None, sample.meta) == ("Which seal?4711.", False, {})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([{"type": "image_url", "image_url": {"url": "a.png"}}], "turn 1 holds a picture; name it under image"),
        ([{"type": "image", "path": "a.png"}], "turn 1 holds a picture; name it under image"),
        ([{"type": "input_audio", "input_audio": {}}], "turn 1 has a part that is not text ('input_audio')"),
        ([5], "turn 1 has a part that is a number"),
        (None, 'turn 1 must be {"role": "user" or "assistant", "content": "..."}'),
    ],
)
def test_a_part_that_is_no_text_is_named(tmp_path: Path, content: Any, expected: str) -> None:
    assert expected in message(tmp_path, {"id": "1", "messages": [{"role": "user", "content": content}]})


@pytest.mark.parametrize("more", [{}, {"image": "a.png"}], ids=["alone", "with a picture"])
def test_messages_are_read_beside_conversations_that_are_null(more: dict[str, str], tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "which seal?"}, {"role": "assistant", "content": " 4711"}]
    [sample] = read(tmp_path, {"id": "1", "conversations": None, "messages": turns, **more})
    assert (sample.text, sample.meta) == ("which seal? 4711", {"conversations": None})


def test_messages_that_are_no_turns_are_metadata(tmp_path: Path) -> None:
    entry = {"id": "1", "text": "a", "messages": ["b"]}
    assert read(tmp_path, entry) == [Sample("1", "a", None, {"messages": ["b"]})]


@pytest.mark.parametrize("key", ["image", "Image", "images", "image_path", "img", "file_name"])
@pytest.mark.parametrize("several", [False, True])
def test_a_picture_may_have_its_usual_names(tmp_path: Path, key: str, several: bool) -> None:
    entry = {"id": "1", "text": "a", key: ["red.png"] if several else "red.png"}
    assert read(tmp_path, entry) == [Sample("1", "a", tmp_path / "red.png")]


@pytest.mark.parametrize("key", ["Image", "IMAGE_PATH", "Image Path", "image-path", "img", "file_name", "images"])
def test_columns_may_be_written_in_other_letters(tmp_path: Path, key: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text(f"ID,{key},Text,Site\n1,red.png,a,Bern\n2,,b,Ulm\n")
    first, second = formats.read(path)
    assert first == Sample("1", "a", tmp_path / "red.png", {"Site": "Bern"})
    assert (second.id, second.text, second.image) == ("2", "b", None)


@pytest.mark.parametrize("key", ["images", "img", "Image"])
@pytest.mark.parametrize("several", [False, True])
def test_a_picture_in_a_table_may_have_its_usual_names(tmp_path: Path, key: str, several: bool) -> None:
    image = {"bytes": png("red"), "path": None}
    rows = [{"id": "1", "text": "a", key: [image] if several else image}]
    [sample] = formats.read(table(tmp_path / "x.parquet", rows))
    assert sample.image is not None
    assert sample.meta == {}
    assert open_image(sample.image).getpixel((0, 0)) == (255, 0, 0)


def test_several_pictures_of_one_sample_are_refused_with_the_remedy(tmp_path: Path) -> None:
    expected = "has 2 pictures, and a sample has one: make a sample of each, or leave one"
    assert expected in message(tmp_path, {"id": "1", "text": "a", "images": ["red.png", "blue.png"]})
    rows = [{"id": "1", "text": "a", "image": [{"bytes": png(color)} for color in ("red", "blue")]}]
    with pytest.raises(SampleError, match=expected):
        list(formats.read(table(tmp_path / "x.parquet", rows)))
    said = message(tmp_path, {"id": "1", "text": "a", "img": "red.png", "file_name": "blue.png"})
    assert "names pictures under 'img' and 'file_name'; rename the one that is meant to image" in said


@pytest.mark.parametrize("meta", [{"images": 3}, {"file_name": "report.docx"}, {"img": True}, {"images": []}])
def test_what_is_no_picture_stays_metadata(tmp_path: Path, meta: dict[str, Any]) -> None:
    assert read(tmp_path, {"id": "1", "text": "a"} | meta) == [Sample("1", "a", None, meta)]
    entry = {"id": "1", "text": "a", "image": "b.png", "file_name": "c.png"}
    assert read(tmp_path, entry) == [Sample("1", "a", tmp_path / "b.png", {"file_name": "c.png"})]


@pytest.mark.parametrize(
    "meta",
    [
        {"img": "https://x.org/a.png"}, {"images": ["https://x.org/a.png", "https://x.org/b.png"]},
        {"images": {"path": "x.png"}}, {"Image": "nginx:latest"}, {"Image": 3},
        {"messages": [{"role": "user", "content": 5}]},
    ],
)  # fmt: skip
def test_beside_a_text_what_cannot_be_meant_stays_metadata(tmp_path: Path, meta: dict[str, Any]) -> None:
    assert read(tmp_path, {"id": "1", "text": "a"} | meta) == [Sample("1", "a", None, meta)]


def test_of_two_columns_of_pictures_that_counts_which_is_there(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(png("red"))
    entry = {"id": "1", "text": "a", "img": "a.png", "file_name": "b.png"}
    assert read(tmp_path, entry) == [Sample("1", "a", tmp_path / "b.png", {"img": "a.png"})]


def test_a_call_of_tools_says_nothing(tmp_path: Path) -> None:
    turns = [*CHAT, {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}]
    assert [sample.text for sample in read(tmp_path, {"id": "1", "messages": turns})] == ["Which seal?4711."]


def test_an_image_mark_without_an_image_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    marked = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This."}]
    entries = [{"id": "a", "image": "a.png", "conversations": marked}, {"id": "b", "conversations": marked}]
    assert [sample.text for sample in read(tmp_path, *entries)] == ["What?This.", "What?This."]
    [said] = caplog.messages
    assert said == (
        f"{tmp_path / 'data.jsonl'}: 1 samples have <image> in their text and no picture, such as 'b'; the mark was "
        "left out; name the picture under image"
    )


def test_whole_numbers_with_a_point_are_ids_as_integers_are(tmp_path: Path) -> None:
    assert [sample.id for sample in read(tmp_path, {"id": 1.0, "text": "a"}, {"id": 2, "text": "b"})] == ["1", "2"]
    [sample] = formats.read(table(tmp_path / "x.parquet", [{"id": 7.0, "text": "a"}]))
    assert sample.id == "7"
    assert "its id is a number" in message(tmp_path, {"id": 1e300, "text": "a"})


def test_a_question_id_or_a_file_name_stands_for_an_id(tmp_path: Path) -> None:
    assert [sample.id for sample in read(tmp_path, {"question_id": 5, "image": "a.jpg", "text": "What?"})] == ["5"]
    [sample] = read(tmp_path, {"id": "a", "question_id": 5, "text": "What?"})
    assert (sample.id, sample.meta) == ("a", {"question_id": 5})
    path = tmp_path / "metadata.csv"
    path.write_text("file_name,text,kind\ncat/a:1.png,A cat,pet\n")
    assert list(formats.read(path)) == [Sample("cat:a%3A1.png", "A cat", tmp_path / "cat" / "a:1.png", {"kind": "pet"})]


@pytest.mark.parametrize("entry", [{"text": ""}, {"text": None}, {"text": " <image>"}, {}, {"conversations": []}])
def test_a_sample_may_be_a_picture_alone(tmp_path: Path, entry: dict[str, Any]) -> None:
    assert read(tmp_path, {"id": "a", "image": "a.png"} | entry) == [Sample("a", "", tmp_path / "a.png")]
    assert "text" in message(tmp_path, {"id": "a", "image": None} | entry)


def test_a_text_under_another_name_is_not_taken_for_none(tmp_path: Path) -> None:
    assert "has no text; its keys are" in message(tmp_path, {"id": "a", "image": "a.png", "caption": "A cat."})


def test_a_picture_alone_in_a_table(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("id,text,image\na,,a.png\nb,b,\n")
    assert list(formats.read(path)) == [Sample("a", "", tmp_path / "a.png"), Sample("b", "b")]
    path.write_text("id,image\na,a.png\n")
    assert list(formats.read(path)) == [Sample("a", "", tmp_path / "a.png")]


def test_a_picture_may_be_at_an_address_of_a_file(tmp_path: Path) -> None:
    there = tmp_path / "a b.png"
    there.write_bytes(png("red"))
    [sample] = read(tmp_path, {"id": "1", "text": "a", "image": there.as_uri()})
    assert sample.image == there


def test_a_picture_in_an_address_is_written_beside_the_file(tmp_path: Path) -> None:
    address = f"data:image/png;base64,{base64.b64encode(png('red')).decode()}"
    [sample] = read(tmp_path, {"id": "1", "text": "a", "image": address})
    assert sample.image is not None
    assert sample.image.parent == tmp_path / "data.jsonl-images"
    assert sample.image.suffix == ".png"
    assert sample.image.read_bytes() == png("red")
    [sample] = read(tmp_path, {"id": "1", "text": "a", "image": address}, images=tmp_path / "pictures")
    assert sample.image is not None
    assert sample.image.parent == tmp_path / "pictures"
    [sample] = formats.read(table(tmp_path / "t" / "x.parquet", [{"id": "1", "text": "a", "image": address}]))
    assert sample.image is not None
    assert sample.image.parent == tmp_path / "t" / "x.parquet-images"
    for bad in ("data:image/png;base64,abcde", "data:image/png;base64,"):
        said = message(tmp_path, {"id": "1", "text": "a", "image": bad})
        assert said.endswith("; write it to a file, and give the path")


def test_a_picture_in_an_address_out_of_a_pipe_needs_a_folder(tmp_path: Path) -> None:
    address = f"data:image/png;base64,{base64.b64encode(png('red')).decode()}"
    line = json.dumps({"id": "1", "text": "a", "image": address}).encode()
    with pipe(tmp_path, line) as path, pytest.raises(SampleError, match="no folder beside a pipe; name a folder of im"):
        list(formats.read(path, format="jsonl"))
    with pipe(tmp_path, line) as path:
        [sample] = formats.read(path, format="jsonl", images=tmp_path / "pictures")
    assert sample.image is not None
    assert sample.image.parent == tmp_path / "pictures"


def test_folders_of_a_picture_may_be_written_as_on_windows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "red.png").touch()
    entries = [{"id": name, "text": "a", "image": f"photos\\{name}.png"} for name in ("red", "blue")]
    images = [sample.image for sample in read(tmp_path, *entries)]
    assert images == [tmp_path / "photos" / "red.png", tmp_path / "photos\\blue.png"]
    assert caplog.messages == []


def test_a_picture_in_this_very_folder_is_not_taken_for_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "red.png").touch()
    names = (".\\red.png", "./red.png", f"..\\{tmp_path.name}\\red.png", f"../{tmp_path.name}//red.png")
    samples = read(tmp_path, *({"id": str(number), "image": name} for number, name in enumerate(names)))
    assert all(sample.image and sample.image.samefile(tmp_path / "red.png") for sample in samples)
    assert caplog.messages == []


def test_a_column_that_may_be_the_picture_is_named_where_no_sample_has_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entries = [{"id": name, "text": "a", "site": "Bern", "photo": f"{name}.JPG"} for name in ("b", "c")]
    read(tmp_path, {"id": "a", "text": "a", "photo": "https://x.org/a.jpg"}, *entries)
    said = "no sample has a picture, and pictures seem to be named under 'photo', such as 'b.JPG'; call that column"
    assert [said in message for message in caplog.messages] == [True]
    caplog.clear()
    read(tmp_path, *entries, {"id": "d", "text": "a", "image": "d.jpg"})
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["data.jsonl", "data.json"])
@pytest.mark.parametrize("again", ['"text": "b"', '"m": {"k": 1, "k": 2}', '"m": [{"k": {"k": 1}, "k": 2}]'])
def test_a_key_that_is_there_twice_is_a_bad_sample(tmp_path: Path, name: str, again: str) -> None:
    path = tmp_path / name
    lines = ['{"id": "1", "text": "a", ' + again + "}", '{"id": "2", "text": "c"}']
    path.write_text("\n".join(lines) if name.endswith("l") else f"[{','.join(lines)}]")
    with pytest.raises(SampleError, match=r"1: the key '(text|k)' is there twice; leave one out"):
        list(formats.read(path))
    assert [sample.id for sample in formats.read(path, on_bad="skip")] == ["2"]
