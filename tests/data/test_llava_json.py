"""Conversations to train on, and what is wrong with the others."""

import base64
import json
from collections.abc import Container
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from camml import formats
from camml.data import llava_json
from camml.errors import OptionError, SampleError
from camml.prompts import Turn
from camml.types import mended_id
from tests import tiny


def turns(*values: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[n % 2], "value": value} for n, value in enumerate(values)]


def write(folder: Path, *entries: Any) -> Path:
    tiny.image(folder, "here", (200, 0, 0))
    (folder / "empty.png").touch()
    (folder / "cut.png").write_bytes((folder / "here.png").read_bytes()[:60])
    path = folder / "data.json"
    path.write_text(json.dumps(list(entries)))
    return path


GOOD = {"id": "good", "image": "here.png", "conversations": turns("<image>\nwhat is it?", "a square", "big?", "yes")}


def test_a_conversation_with_an_image_and_one_without(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, {"id": 7, "conversations": turns("hello", " there ")})
    with_image, without = llava_json.read(path)
    assert with_image.turns == (Turn("what is it?", "a square"), Turn("big?", "yes"))
    assert with_image.image == tmp_path / "here.png"
    assert with_image.query.text == "what is it?"
    assert (without.id, without.image, without.turns) == ("7", None, (Turn("hello", " there "),))


def test_ids_are_mended_as_in_a_datastore_of_the_same_file(tmp_path: Path) -> None:
    talk = turns("q", "a")
    path = write(tmp_path, *({"id": name, "conversations": talk} for name in ("a/b", "a_b", "c", "a_b")))
    ids = [row.id for row in llava_json.read(path)]
    assert ids == ["a_b", "a_b#2", "c", "a_b#3"]
    assert ids == [sample.id for sample in formats.read(path, mend_ids=True)]


BAD = [
    ({"image": "gone.png"}, "no image at .*gone.png"),
    ({"image": "empty.png"}, "empty"),
    ({"conversations": turns("no mark", "a")}, "an image and 0 <image> marks"),
    ({"conversations": turns("<image> <image>", "a")}, "2 <image> marks"),
    ({"conversations": turns("q", "a", "<image>", "b")}, "in the first question"),
    ({"conversations": turns("<image> q", "see <image>")}, "2 <image> marks"),
    ({"image": None}, "no image and 1 <image> marks"),
    ({"conversations": turns("<image> q", "  ")}, "answer 1 is empty"),
    ({"conversations": turns("<image> q", "a", "b")}, "no answer"),
    ({"conversations": turns("<image> q", "a")[::-1]}, "turn 1 must be"),
    ({"conversations": []}, "no conversations"),
    ({"id": ""}, "its id is ''; it must be a text or a whole number"),
    ({"id": True}, "its id is True"),
    ({"image": 3}, "must be the path"),
    ({"image": ["here.png", "cut.png"]}, "has 2 pictures, and a sample has one"),
    ({"image": "https://a.b/c.png"}, "its image is the address 'https://a.b/c.png'; download it"),
    ({"image": "data:image/png;base64,?"}, "its image cannot be read"),
    ({"image": "A" * 9999}, r"no image at .{,200}AAA\.\.\.; say where"),
    ({"id": 1.5}, "its id is 1.5; it must be a text or a whole number"),
    ({"image": [3]}, "must be the path"),
    (
        {"conversations": [{"from": "system", "value": "be kind"}, *turns("<image> q", "a")]},
        "turn 1 is of 'system', which training has no place for; leave it out",
    ),
    (
        {"conversations": [{"role": "user", "content": [{"type": "audio"}, "q"]}, *turns("", "a")[1:]]},
        r"turn 1 has a part that is not text \('audio'\)",
    ),
    (
        {"conversations": [{"role": "user", "content": [{"type": "image", "image": "here.png"}, "q"]}]},
        "turn 1 holds a picture; name it under image, beside the turns",
    ),
    (
        {"conversations": [{"role": "user", "content": "<image> q"}, {"role": "tool", "content": "a"}]},
        'turn 2 must be {"role": "assistant", "content": "..."} with a text',
    ),
    ({"conversations": [{"from": "user"}]}, "turn 1 must be .*with a text"),
    ({"conversations": turns("<image> which \ud83d", "a")}, "turn 1 has an unpaired surrogate"),
    ({"conversations": turns("<image> q", "a", "b", "\udc00!")}, "turn 4 has an unpaired surrogate"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_entries_stop_or_are_skipped_with_a_reason(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path, GOOD, {**GOOD, "id": "bad", **change})
    with pytest.raises(SampleError, match=f"entry 2.*{message}.*--on_bad_sample skip"):
        llava_json.read(path)
    reasons: list[str] = []
    kept = llava_json.read(path, on_bad="skip", report=lambda error: reasons.append(str(error)))
    assert [row.id for row in kept] == ["good"]
    assert len(reasons) == 1


def roles(*values: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[n % 2], "content": value} for n, value in enumerate(values)]


@pytest.mark.parametrize(
    "entry",
    [
        {"conversations": roles("<image> q", "a")},
        {"messages": roles("<image> q", "a")},
        {"conversations": [{"from": "user", "value": "<image> q"}, {"from": "assistant", "value": "a"}]},
        {"conversations": turns("<image> q", "a"), "messages": "extra"},
        {"conversations": turns("<image> q", "a"), "image": ["here.png"]},
        {"conversations": None, "messages": roles("<image> q", "a")},
        {"messages": [{"from": None, "value": None, **turn} for turn in roles("<image> q", "a")]},
        {"messages": [{"role": "user", "content": [{"type": "image"}, {"text": "q"}]}, *roles("", "a")[1:]]},
    ],
    ids=["role and content", "messages", "user and assistant", "messages beside", "a list of one image",
         "no conversations", "null beside", "parts"],
)  # fmt: skip
def test_other_ways_to_write_a_conversation(entry: dict[str, Any], tmp_path: Path) -> None:
    [row] = llava_json.read(write(tmp_path, {"id": "x", "image": "here.png", **entry}))
    assert (row.turns, row.image) == ((Turn("q", "a"),), tmp_path / "here.png")


@pytest.mark.parametrize("key", ["images", "Image", "image_path", "img"])
@pytest.mark.parametrize("name", ["here.png", ["here.png"]], ids=["a name", "a list"])
def test_a_picture_is_found_under_the_keys_under_which_a_datastore_finds_it(
    key: str, name: object, tmp_path: Path
) -> None:
    path = write(tmp_path, {"id": "x", key: name, "conversations": turns("<image> q", "a")})
    [row] = llava_json.read(path)
    [sample] = formats.read(path)
    assert (row.id, row.image) == (sample.id, sample.image) == ("x", tmp_path / "here.png")


def test_a_picture_in_an_address_is_that_of_a_datastore_of_the_same_file(tmp_path: Path) -> None:
    tiny.image(tmp_path, "my here", (200, 0, 0))
    data = base64.b64encode((tmp_path / "my here.png").read_bytes()).decode()
    images = (f"file://{tmp_path}/my%20here.png", f"data:image/png;base64,{data}")
    path = write(tmp_path, *({**GOOD, "id": number, "image": image} for number, image in enumerate(images)))
    rows = llava_json.read(path, decode_images=True)
    assert rows[0].image == tmp_path / "my here.png"
    assert [row.image for row in rows] == [sample.image for sample in formats.read(path)]


def test_an_id_is_that_of_a_datastore_of_the_same_file(tmp_path: Path) -> None:
    talk = {"conversations": turns("q", "a")}
    path = write(tmp_path, {"id": 1.0, **talk}, {"ID": "b", **talk}, {"question_id": 7, **talk})
    assert [row.id for row in llava_json.read(path)] == [sample.id for sample in formats.read(path)] == ["1", "b", "7"]


@pytest.mark.parametrize("entry", [{"image": []}, {"image": [""]}, {"image": [None]}], ids=str)
def test_an_empty_list_of_images_is_none(entry: dict[str, Any], tmp_path: Path) -> None:
    [row] = llava_json.read(write(tmp_path, {"id": "x", "conversations": turns("q", "a"), **entry}))
    assert row.image is None


def test_an_entry_without_an_id_has_its_place(tmp_path: Path) -> None:
    talk = {"conversations": turns("q", "a")}
    path = write(tmp_path, {"id": "2", **talk}, talk, {"id": None, **talk})
    assert [row.id for row in llava_json.read(path)] == ["2", "2#2", "3"]


@pytest.mark.parametrize("name", ["data.jsonl", "data.NDJSON"])
def test_json_lines(name: str, tmp_path: Path) -> None:
    write(tmp_path)
    lines = [GOOD, {"conversations": turns("q", "a")}]
    path = tmp_path / name
    path.write_text("\n\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8-sig")
    with_image, without = llava_json.read(path)
    assert (with_image.image, without.id) == (tmp_path / "here.png", "3")


def test_a_bad_line_is_named_and_may_be_skipped(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"id": 1\n{"id": "\xe9"}\n7\n' + json.dumps({"conversations": turns("q", "a")}).encode())
    reasons: list[str] = []
    assert [row.id for row in llava_json.read(path, on_bad="skip", report=lambda e: reasons.append(str(e)))] == ["4"]
    assert [reason.partition("data.jsonl: ")[2][:16] for reason in reasons] == [
        "line 1: not JSON", "line 2: byte 17 ", "line 3: is not a",
    ]  # fmt: skip
    with pytest.raises(SampleError, match=r"3 samples cannot be trained on: .*line 1.*line 2.*line 3"):
        llava_json.read(path)


def test_many_bad_entries_are_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, *({**GOOD, "id": n, "image": f"gone{n}.png"} for n in range(5)))
    with pytest.raises(SampleError, match=r"5 samples cannot be trained on.*and 2 more") as caught:
        llava_json.read(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(SampleError, match="no conversation"):
        llava_json.read(path, on_bad="skip")


def test_a_damaged_image_is_found_when_images_are_decoded(tmp_path: Path) -> None:
    path = write(tmp_path, {**GOOD, "image": "cut.png"})
    assert llava_json.read(path)
    with pytest.raises(SampleError, match=r"entry 1.*cut.png"):
        llava_json.read(path, decode_images=True)


def test_a_jpg_is_also_found_as_gif_or_png(tmp_path: Path) -> None:
    [row] = llava_json.read(write(tmp_path, {**GOOD, "image": "here.jpg"}))
    assert row.image == tmp_path / "here.png"


@pytest.mark.parametrize(("text", "message"), [("{}", "not a list"), ("[", "not JSON"), ("[]", "no conversation")])
def test_files_that_are_no_list_of_conversations(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(SampleError, match=message):
        llava_json.read(tmp_path / "x.json")
    with pytest.raises(SampleError, match="cannot be read"):
        llava_json.read(tmp_path / "y.json")
    with pytest.raises(OptionError, match="stop, skip"):
        llava_json.read(tmp_path / "x.json", on_bad="ignore")


def test_ids_that_repeat_a_mended_one_are_those_of_the_datastore(tmp_path: Path) -> None:
    talk = turns("q", "a")
    path = write(tmp_path, *({"id": name, "conversations": talk} for name in ("a", "a", "a#2", "b\\c", "b\nc")))
    ids = [row.id for row in llava_json.read(path)]
    assert len(set(ids)) == 5
    assert ids == [sample.id for sample in formats.read(path, mend_ids=True)]


@pytest.mark.parametrize("reader", [formats, llava_json])
def test_equal_ids_are_numbered_in_as_many_steps(
    reader: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []

    class Watched:
        def __init__(self, taken: Container[str]) -> None:
            self.taken = taken

        def __contains__(self, name: object) -> bool:
            looked.append(name)
            return name in self.taken

    monkeypatch.setattr(reader, "mended_id", lambda id, taken, *more: mended_id(id, Watched(taken), *more))
    path = write(tmp_path, *({"id": "a", "conversations": turns("q", "a")} for _ in range(200)))
    read: Any = reader.read
    assert [row.id for row in read(path)] == ["a", *(f"a#{number}" for number in range(2, 201))]
    assert len(looked) <= 2 * 200
