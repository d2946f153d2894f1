"""A folder of pictures: what is read of it, in which order, under which ids."""

import json
import os
import sys
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from PIL import Image

from camml import formats
from camml.errors import SampleError
from camml.formats import folder
from tests.formats.shards import png, table, tar, two_tars
from tests.pdf_files import write_pdf


def picture(path: Path, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), "red").save(path, **options)
    return path


def texts(path: Path, **options: Any) -> dict[str, str]:
    return {sample.id: sample.text for sample in formats.read(path, **options)}


def message(path: Path, **options: Any) -> str:
    with pytest.raises(SampleError) as caught:
        list(formats.read(path, **options))
    return str(caught.value)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tmp_path / "photos"


def test_each_picture_is_a_sample_in_the_order_of_names(photos: Path) -> None:
    for name in ("b.png", "a.jpg", "sub/deep/c.webp", "sub/a.GIF", "Z.bmp"):
        picture(photos / name)
    samples = list(formats.read(photos))
    assert [sample.id for sample in samples] == ["Z.bmp", "a.jpg", "b.png", "sub:a.GIF", "sub:deep:c.webp"]
    assert [sample.meta["file"] for sample in samples][-1] == "sub/deep/c.webp"
    assert all(sample.image and sample.image.is_absolute() and sample.image.is_file() for sample in samples)
    assert len({sample.meta["origin"]["folder"] for sample in samples}) == 1


def test_what_is_hidden_or_of_another_kind_is_passed_over(photos: Path) -> None:
    picture(photos / "a.png")
    for name in (".hidden.png", "._a.png", ".thumbnails/a.png"):
        picture(photos / name)
    (photos / "notes.txt").write_text("notes")
    (photos / "film.mp4").write_bytes(b"film")
    (photos / "folder.jpg").mkdir()
    assert list(texts(photos)) == ["a.png"]


def test_what_is_not_read_is_listed_but_for_what_is_hidden_or_beside_a_picture(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.png", "sub/b.JPG", ".thumbnails/a.png", f"{'0' * 32}-1.jpg"):
        picture(photos / name)
    for name in ("a.txt", "a.MD", "a.png.json", "sub/b.JPG.txt", ".DS_Store", "Thumbs.db", "Desktop.ini"):
        (photos / name).write_text("{}" if name.endswith(".json") else "said")
    assert len(list(formats.read(photos))) == 2
    assert (caplog.text, folder.passed_over(photos)) == ("", {})
    for name in ("1.docx", "2.DOCX", "3.docx", "sub/4.docx", "film.mp4", "Makefile", "b.txt", "sub/a.md", ".x.zip"):
        (photos / name).write_text("")
    assert len(list(formats.read(photos))) == 2
    assert f"{photos}: passed over 8 files: 4 .docx (1.docx, 2.DOCX, 3.docx, ...), " in caplog.text
    assert "1 without an ending (Makefile), 1 .md (sub/a.md), 1 .mp4 (film.mp4), 1 .txt (b.txt); what is" in caplog.text
    assert "pictures (.jpg, " in caplog.text
    assert folder.passed_over(photos)[".docx"] == ["1.docx", "2.DOCX", "3.docx", "sub/4.docx"]


@pytest.mark.parametrize("place", ["", "2024/"])
def test_an_archive_among_pictures_is_named_as_left_out(
    place: str, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.png", "b.png"):
        picture(photos / f"{place}{name}")
    tar(photos / "old.tar.gz", {"a.png": png("red"), "a.txt": "old"}, "w:gz")
    assert sorted(texts(photos).values()) == ["a", "b"]
    assert "passed over 1 file: 1 .gz (old.tar.gz)" in caplog.text
    assert folder.passed_over(photos) == {".gz": ["old.tar.gz"]}
    assert texts(photos, format="webdataset") == {"a": "old"}


def test_of_a_table_and_pictures_what_is_more_is_read_and_the_rest_named(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture(photos / "a.png")
    table(photos / "export.parquet", [{"id": "x", "text": "exported"}])
    assert texts(photos) == {"x": "exported"}
    assert "read as Parquet; passed over 1 file: 1 .png (a.png), but for those that its rows name" in caplog.text
    picture(photos / "b.png")
    assert texts(photos) == {"a.png": "a", "b.png": "b"}
    assert "passed over 1 file: 1 .parquet (export.parquet)" in caplog.text


def test_a_picture_among_shards_is_no_folder_of_pictures(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture(photos / "preview.png")
    two_tars(photos)
    picture(photos / "part-images" / f"{'0' * 32}.png")  # written by another call
    assert list(texts(photos)) == ["red", "blue", "red2", "word"]
    assert "read as tar files; passed over 1 file: 1 .png (preview.png)" in caplog.text


def test_a_table_that_names_pictures_in_a_folder_below_is_read(photos: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(photos / "images" / name)
    table(photos / "samples.parquet", [{"id": "x", "text": "said", "image": "images/a.png"}])
    [sample] = formats.read(photos)
    assert (sample.text, sample.image) == ("said", photos / "images" / "a.png")


def test_a_table_that_names_the_pictures_beside_it_is_read(photos: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(photos / name)
    table(photos / "samples.parquet", [{"id": "x", "text": "said", "image": "a.png"}])
    [sample] = formats.read(photos)
    assert (sample.text, sample.image) == ("said", photos / "a.png")


@pytest.mark.parametrize("source", [".", ".."])
def test_pictures_of_pages_are_beside_a_folder_named_by_dots(
    source: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "sub").mkdir(parents=True)
    write_pdf(photos / "a.pdf", ["Hello."])
    monkeypatch.chdir(photos / "sub" if source == ".." else photos)
    [sample] = formats.read(source)
    assert sample.image is not None
    assert sample.image.parent == photos.with_name("photos-images")


def test_a_folder_with_nothing_that_is_read_says_what_it_holds(photos: Path) -> None:
    photos.mkdir()
    (photos / "a.docx").touch()
    assert "cannot be told (it holds 1 file: 1 .docx (a.docx)); " in message(photos)
    assert "holds no pictures and no PDF files (but 1 file: 1 .docx (a.docx)); " in message(photos, format="folder")


def test_the_text_is_in_a_file_of_the_same_name(photos: Path) -> None:
    for name in ("one.png", "two.png", "three.png", "four.png", "five.png"):
        picture(photos / name)
    (photos / "one.txt").write_text("\ufeffThe first.\n")
    (photos / "two.md").write_text("# Two")
    (photos / "three.png.txt").write_text("Größe 3")
    (photos / "four.TXT").write_text("loud")
    (photos / "five.txt").write_text("  \n")
    picture(photos / "six.png")
    (photos / "six.txt").write_bytes("Größe 6".encode("utf-16"))
    said = {
        "six.png": "Größe 6",
        "one.png": "The first.",
        "two.png": "# Two",
        "three.png": "Größe 3",
        "four.png": "loud",
        "five.png": "five",
    }
    assert texts(photos) == dict(sorted(said.items()))


@pytest.mark.parametrize("key", ["text", "caption", "description"])
def test_json_gives_text_and_other_fields(key: str, photos: Path) -> None:
    picture(photos / "a.png")
    (photos / "a.json").write_text(json.dumps({key: "said", "year": 1999, "id": "x", "image": "y", "file": "z"}))
    [sample] = formats.read(photos)
    assert (sample.id, sample.text, sample.image) == ("a.png", "said", photos / "a.png")
    assert {name: sample.meta[name] for name in ("year", "file")} == {"year": 1999, "file": "a.png"}
    (photos / "a.txt").write_text("from the text")
    [sample] = formats.read(photos)
    assert (sample.text, sample.meta["year"]) == ("from the text", 1999)


def test_a_conversation_in_json_is_read_after_the_text(photos: Path) -> None:
    picture(photos / "a.png")
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A pump."}]
    for said, text in (({"caption": "Pump 7."}, "Pump 7.\nWhat?A pump."), ({}, "What?A pump.")):
        (photos / "a.json").write_text(json.dumps(said | {"conversations": turns}))
        assert texts(photos) == {"a.png": text}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("red-pump_7.jpg", "red pump 7"),
        ("IMG_2034.JPG", "IMG 2034"),
        ("東京 駅.png", "東京 駅"),
        ("___.png", "___"),
        ("a.b.c.png", "a b c"),
        ("sub/x y.png", "x y"),
    ],
)
def test_without_any_text_the_name_is_made_readable(name: str, text: str, photos: Path) -> None:
    picture(photos / name)
    assert list(texts(photos).values()) == [text]


def test_what_the_picture_says_of_itself_comes_before_its_name(photos: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "A pump in hall B"
    picture(photos / "a.jpg", exif=exif)
    assert texts(photos) == {"a.jpg": "A pump in hall B"}
    (photos / "a.txt").write_text("written by hand")
    assert texts(photos) == {"a.jpg": "written by hand"}


def test_ids_of_odd_names_are_valid_and_differ(photos: Path) -> None:
    names = ["a/b.png", "a:b.png", "a%3Ab.png", "x\ny.png", "back\\slash.png", " .png", "100%.png"]
    for name in names:
        picture(photos / name)
    ids = list(texts(photos))
    assert len(set(ids)) == len(names)
    assert {"a:b.png", "a%3Ab.png", "a%253Ab.png", "x%0Ay.png", "back%5Cslash.png", " .png", "100%25.png"} == set(ids)


@pytest.mark.skipif(sys.platform == "darwin", reason="its names are Unicode")
def test_a_name_that_is_not_unicode_is_bad(photos: Path) -> None:
    picture(photos / "a.png")
    os.rename(photos / "a.png", os.fsencode(photos) + b"/\xff.png")
    assert "is not Unicode; rename the file" in message(photos)
    assert message(photos).isprintable()


def test_loops_of_links_end_and_links_elsewhere_are_followed_once(photos: Path, tmp_path: Path) -> None:
    picture(photos / "a" / "x.png")
    picture(tmp_path / "elsewhere" / "y.png")
    (photos / "a" / "up").symlink_to(photos)
    (photos / "b").symlink_to(photos / "a")
    (photos / "above").symlink_to(tmp_path)
    for name in ("c", "d"):
        (photos / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(photos)
    (tmp_path / "elsewhere" / "me").symlink_to(tmp_path / "elsewhere")
    (photos / "file.png").symlink_to(tmp_path / "elsewhere" / "y.png")
    (photos / "circle").symlink_to(photos / "circle")
    assert list(texts(photos)) == ["a:x.png", "c:y.png", "file.png"]


def test_a_datastore_in_the_folder_is_no_part_of_it(photos: Path) -> None:
    picture(photos / "a.png")
    picture(photos / "store" / "images" / "copy.png")
    (photos / "store" / "manifest.json").write_text('{\n "format": "camml-datastore",\n "version": 3\n}')
    picture(photos / "other" / "b.png")
    (photos / "other" / "manifest.json").write_text('{"name": "a web page"}')
    assert list(texts(photos)) == ["a.png", "other:b.png"]


@pytest.mark.parametrize("format", [None, "folder", "parquet"])
def test_a_datastore_is_not_read_as_samples(photos: Path, format: str | None) -> None:
    photos.mkdir()
    (photos / "manifest.json").write_text('{\n "format": "camml-datastore",\n "version": 3\n}')
    (photos / "000001-samples.parquet").touch()
    assert "is a datastore; write its samples to a file first, `camml store export" in message(photos, format=format)
    with pytest.raises(SampleError, match="is a datastore"):
        list(folder.read(photos, None))


@pytest.mark.parametrize("name", ["000001-samples.parquet", "*.parquet", "{000001..000002}-samples.parquet"])
def test_nor_are_its_files(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    photos.mkdir()
    (photos / "manifest.json").write_text('{\n "format": "camml-datastore",\n "version": 3\n}')
    (photos / "000001-samples.parquet").touch()
    (tmp_path / "link").symlink_to(photos)
    (photos / "mine.jsonl").write_text('{"id": "a", "text": "a red pump"}\n')
    for path in (photos / name, tmp_path / "link" / name):
        with pytest.raises(SampleError, match="is data of a datastore; write its samples to a file first"):
            list(formats.read(str(path)))
    monkeypatch.chdir(photos)
    with pytest.raises(SampleError, match="is data of a datastore"):
        list(formats.read(name))
    assert [sample.id for sample in formats.read("mine.jsonl")] == ["a"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", b"caf\xe9", "byte 3 (0xe9) is not UTF-8"),
        ("a.txt", "text".encode("utf-16")[:-1], "begins as UTF-16 and is not"),
        ("a.json", b'{"text": "a", "text": "b"}', "a.json: the key 'text' is there twice"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"7", "is a number; write an object"),
        ("a.json", b'{"caption": 7}', "its caption is a number"),
        ("a.txt", b"a\0b", "NUL"),
        ("a.txt", b"x" * (8 * 2**20 + 1), "more than 8 MB"),
        ("a.txt", None, "is a folder or no regular file"),
    ],
)
def test_a_bad_file_beside_a_picture_is_named(name: str, content: bytes | None, expected: str, photos: Path) -> None:
    picture(photos / "a.png")
    picture(photos / "good.png")
    (photos / name).mkdir() if content is None else (photos / name).write_bytes(content)
    assert expected in message(photos)
    assert "a." in message(photos)
    reported: list[SampleError] = []
    assert list(texts(photos, on_bad="skip", report=reported.append)) == ["good.png"]
    assert len(reported) == 1


def test_a_link_to_nowhere_is_left_to_whoever_opens_it(photos: Path) -> None:
    photos.mkdir()
    (photos / "a.png").symlink_to("nowhere.png")
    assert texts(photos) == {"a.png": "a"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_keeps_nobody_waiting(photos: Path) -> None:
    photos.mkdir()
    os.mkfifo(photos / "a.png")
    os.mkfifo(photos / "a.txt")
    assert "a.txt" in message(photos)


def test_a_folder_that_cannot_be_read_is_bad(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(photos / "a.png")
    picture(photos / "sub" / "b.png")
    scan = os.scandir

    def scandir(path: Path) -> Any:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr("camml.formats._walk.os.scandir", scandir)
    assert "sub: cannot be read (Permission denied)" in message(photos)
    assert [place for place, row in folder.read(photos, None) if isinstance(row, SampleError)] == ["sub"]


def test_an_empty_folder_is_said(photos: Path) -> None:
    photos.mkdir()
    (photos / "empty").mkdir()
    assert "one with pictures or PDF files in it" in message(photos)
    assert "holds no pictures and no PDF files" in message(photos, format="folder")
    assert "is not a folder" in message(picture(photos / "a.png"), format="folder")


def test_folders_of_datasets_stay_what_they_are(photos: Path) -> None:
    picture(photos / "a.png")
    assert folder.matches(photos)
    (photos / "data.parquet").touch()
    assert not folder.matches(photos)
    assert formats.find_format(photos) == "parquet"


def test_pages_are_samples_beside_pictures(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    picture(photos / "z.png")
    write_pdf(photos / "manuals" / "pump.pdf", ["Replace the seal.", ""])
    samples = list(formats.read(photos))
    assert [sample.id for sample in samples] == ["manuals:pump.pdf#page=1", "manuals:pump.pdf#page=2", "z.png"]
    assert [sample.text for sample in samples] == ["Replace the seal.", "pump, page 2", "z"]
    assert {sample.image.parent for sample in samples[:2] if sample.image} == {tmp_path / "photos-images"}
    assert [sample.id for sample in formats.read(tmp_path)] == [f"photos:{sample.id}" for sample in samples]


@pytest.mark.parametrize(("of_picture", "of_text"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_text_is_beside_a_picture_whether_letters_and_accents_are_one_character_or_two(
    photos: Path, of_picture: str, of_text: str, caplog: pytest.LogCaptureFixture
) -> None:
    picture(photos / normalize(of_picture, "Pümpe é.png"))
    (photos / normalize(of_text, "Pümpe é.txt")).write_text("A pump.")
    (photos / normalize(of_text, "Pümpe é.png.json")).write_text(
        '{"year": 1999, "page": 3, "figure": "a", "file": "x"}'
    )
    [sample] = formats.read(photos)
    assert (sample.text, caplog.text) == ("A pump.", "")
    own = {name: value for name, value in sample.meta.items() if name not in ("file", "origin")}
    assert own == {"year": 1999, "page": 3, "figure": "a"}
    assert sample.meta["file"] == normalize(of_picture, "Pümpe é.png")
