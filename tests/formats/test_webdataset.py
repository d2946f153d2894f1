"""WebDataset shards: on a disk and on object storage, whole or refused."""

import gzip
import re
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import pytest

from camml import formats
from camml.errors import SampleError
from camml.formats import webdataset
from camml.images import open_image
from tests.formats import shards
from tests.formats.shards import beside, png, tar, two_tars

IDS = ["red", "blue", "red2", "word"]


def test_files_of_one_name_are_a_sample(tmp_path: Path) -> None:
    two_tars(tmp_path / "tars")
    samples = list(formats.read(tmp_path / "tars"))
    assert [sample.id for sample in samples] == IDS
    assert [sample.text for sample in samples] == ["a red one", "blue", "red again", "only a word"]
    assert samples[1].meta == {"n": 1}
    assert samples[3].image is None
    assert samples[0].image == samples[2].image
    assert samples[1].image is not None
    assert open_image(samples[1].image).getpixel((0, 0)) == (0, 0, 255)
    assert samples[1].image.parent == tmp_path / "tars-images"
    assert len(list((tmp_path / "tars-images").iterdir())) == 2


def test_a_picture_alone_is_a_sample_and_file_names_in_json_are_metadata(tmp_path: Path) -> None:
    files = {"a.png": png("red"), "b.png": png("red"), "b.json": {"text": "b", "file_name": "0.png"}}
    first, second = formats.read(tar(tmp_path / "x.tar", files))
    assert (first.id, first.text, first.image) == ("a", "", second.image)
    assert (second.id, second.meta) == ("b", {"file_name": "0.png"})


@pytest.mark.parametrize("pattern", ["part-{000..001}.tar", "part-*.tar", "part-00?.tar"])
def test_patterns(tmp_path: Path, pattern: str) -> None:
    two_tars(tmp_path)
    samples = list(formats.read(str(tmp_path / pattern), images=tmp_path / "images"))
    assert [sample.id for sample in samples] == IDS
    with pytest.raises(SampleError, match=r"no such file|no \.tar"):
        list(formats.read(str(tmp_path / pattern.replace("part", "other"))))


@pytest.mark.parametrize("source", [".", "*.tar", "{000..001}.tar"])
def test_images_of_sources_in_the_working_directory_are_beside_it(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tars"
    for number, path in enumerate(two_tars(folder)):
        path.rename(folder / f"{number:03}.tar")
    monkeypatch.chdir(folder)
    samples = list(formats.read(source))
    assert [sample.id for sample in samples] == IDS
    assert {sample.image.parent for sample in samples if sample.image} == {tmp_path / "tars-images"}


@pytest.mark.parametrize("pattern", ["", "*.tar", "part-*"])
def test_hidden_files_are_no_data(tmp_path: Path, pattern: str) -> None:
    for path in two_tars(tmp_path):
        beside(path)
    rows = formats.read(f"{tmp_path}/{pattern}", format="webdataset", images=tmp_path / "images")
    assert [sample.id for sample in rows] == ["red", "blue", "red2", "word"]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_a_picture_that_is_a_link_is_named_and_its_sample_can_be_skipped(tmp_path: Path, kind: bytes) -> None:
    path = tar(tmp_path / "x.tar", {"a.png": png("red"), "a.txt": "first"})
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = kind, "a.png"
        archive.addfile(link)
        for name in ("b.txt", "c.txt"):
            archive.addfile(tarfile.TarInfo(name))
        other = tarfile.TarInfo("d.md")
        other.type, other.linkname = kind, "a.txt"
        archive.addfile(other)
    with pytest.raises(SampleError, match=r"sample 'b'.*its png is a link.*tar --dereference --hard-dereference"):
        list(formats.read(path))
    reasons: list[SampleError] = []
    assert [sample.id for sample in formats.read(path, on_bad="skip", report=reasons.append)] == ["a"]
    assert [re.findall("'(.)'", str(reason))[0] for reason in reasons] == ["b", "c"]


def test_an_archive_behind_the_end_of_another_is_refused(tmp_path: Path) -> None:
    first, second = (tar(tmp_path / f"{name}.tar", {f"{name}.txt": name}) for name in "ab")
    both = tmp_path / "both.tar"
    for data in (first.read_bytes() + second.read_bytes(), first.read_bytes() + second.read_bytes()[:-512]):
        both.write_bytes(data)
        with pytest.raises(SampleError, match=r"both\.tar: there is more behind its end.*a file of its own"):
            list(formats.read(both))
    both.write_bytes(first.read_bytes() + bytes(2**17))
    assert [sample.id for sample in formats.read(both)] == ["a"]


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {"a.txt": "\ufeffA red pump", "b.json": '\ufeff{"text": "blue"}'})
    assert [sample.text for sample in formats.read(path)] == ["A red pump", "blue"]


def test_files_of_a_sample_are_read_as_those_beside_a_picture(tmp_path: Path) -> None:
    files: dict[str, Any] = {
        "a.jfif": png("red"),
        "a.txt": "Größe".encode("utf-16"),
        "b.png": png("red"),
        "b.caption": "",
        "b.json": {"caption": "from the JSON", "n": 1},
        "c.png": png("red"),
        "c.json": {"caption": ["one", "two"]},
        "d.png": png("red"),
        "d.txt": "",
    }
    samples = list(formats.read(tar(tmp_path / "x.tar", files)))
    assert [sample.text for sample in samples] == ["Größe", "from the JSON", "one\ntwo", ""]
    assert all(sample.image for sample in samples)
    assert samples[1].meta == {"n": 1}


def test_folders_dots_and_what_is_no_sample(tmp_path: Path) -> None:
    files = {
        "./a/cat.v2.json": {"text": "not a known ending"},
        "./a/cat.png": png("red"),
        "./a/cat.txt": "a cat",
        "b/cat.txt": "another",
        "__meta__.json": {"text": "x"},
        ".hidden.txt": "y",
        "notes.md": "z",
    }
    path = tar(tmp_path / "x.tgz", files, "w:gz")
    assert [sample.id for sample in formats.read(path, mend_ids=True)] == ["a_cat", "b_cat"]


SHOT = "Screenshot 2026-05-01 at 3.14.15 PM"


def test_names_with_more_dots_are_passed_over_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dotted = {f"{SHOT}.png": png("red"), f"{SHOT}.txt": "a menu", "v1.2.png": png("blue"), "a.cls": "7", "b": "x"}
    hidden = {"._a.txt": "x", "__meta__.json": {}}
    two = [tar(tmp_path / "0.tar", {**dotted, **hidden, "a.txt": "fine"}), tar(tmp_path / "1.tar", {"c.d.txt": "y"})]
    assert [sample.id for sample in formats.read(tmp_path)] == ["a"]
    [said] = caplog.messages
    assert said.startswith(
        f"{tmp_path}: passed over 6 files: 2 .png ({SHOT}.png, v1.2.png), 2 .txt ({SHOT}.txt, c.d.txt), "
        "1 without an ending (b), 1 .cls (a.cls); WebDataset parts names at the first dot"
    )
    caplog.clear()
    with pytest.raises(SampleError, match=r"1\.tar: holds no samples, but 1 file: 1 \.txt \(c\.d\.txt\); Web"):
        list(formats.read(two[1], on_bad="skip"))
    with pytest.raises(SampleError, match="holds no samples, but 1 file"):
        list(webdataset.entries(two[1], tmp_path))
    assert [key for key, _ in webdataset.entries(two[0], tmp_path)] == [f"{two[0]}: sample 'a'"]
    assert "passed over 5 files" in caplog.text


def test_of_many_files_passed_over_only_the_first_names_are_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {f"{number}.cls": "7" for number in range(9)}
    list(formats.read(tar(tmp_path / "x.tar", {**files, "a.txt": "fine"})))
    assert "passed over 9 files: 9 .cls (0.cls, 1.cls, 2.cls, ...); " in caplog.text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.png": png("red"), "a.jpg": png("red"), "a.txt": "x"}, r"sample 'a'.*2 images \(png, jpg\)"),
        ({"a.txt": "x", "a.caption": "y"}, r"sample 'a'.*2 texts"),
        ({"a.json": "[1]"}, r"sample 'a'.*JSON is a list"),
        ({"a.json": "{"}, r"sample 'a'.*JSON cannot be read"),
        ({"a.txt": b"\xff"}, r"sample 'a'.*not UTF-8"),
        (
            {"a.json": {"text": "x", "image": "0.png"}},
            r"sample 'a'.*its JSON names the image '0\.png'.*write it as a\.png",
        ),
        ({"a.json": {"text": "x", "image": 7}, "a.txt": "y"}, r"sample 'a'.*its JSON names the image 7"),
        ({"a.png": png("red"), "a.json": {"label": 3}}, r"sample 'a'.*has no text; its keys are 'id', 'label'"),
        ({"a.json": {"text": "x", "img": "0.png"}}, r"sample 'a'.*its JSON names the image '0\.png'"),
        ({"a.json": '{"text": "x", "text": "y"}'}, r"sample 'a'.*the key 'text' is there twice; leave one out"),
    ],
)
def test_a_bad_sample_is_named_and_can_be_skipped(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    path = tar(tmp_path / "x.tar", {**files, "good.txt": "fine"})
    with pytest.raises(SampleError, match=message):
        list(formats.read(path))
    reasons: list[SampleError] = []
    assert [sample.id for sample in formats.read(path, on_bad="skip", report=reasons.append)] == ["good"]
    assert len(reasons) == 1


def test_a_picture_in_the_tar_counts_for_the_one_that_the_json_names(tmp_path: Path) -> None:
    named = {"a.json": {"text": "x", "image": "0.png"}, "a.png": png("red"), "b.json": {"text": "y", "image": ""}}
    pictures = [sample.image for sample in formats.read(tar(tmp_path / "x.tar", named))]
    assert [bool(picture) for picture in pictures] == [True, False]


def test_a_packed_file_with_the_ending_of_another_is_said(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {"a.txt": "fine"}, "w:gz")
    with pytest.raises(SampleError, match=r"x\.tar: is packed by gzip; name it x\.tar\.gz, or unpack it"):
        list(formats.read(path))
    path.rename(tmp_path / "x.tar.gz")
    assert [sample.id for sample in formats.read(tmp_path / "x.tar.gz")] == ["a"]


@pytest.mark.long
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    whole = tar(tmp_path / "whole.tar", {"a.txt": "x" * 700, "a.png": png("red"), "b.txt": "y"}).read_bytes()
    end = len(whole.rstrip(b"\0"))
    path = tmp_path / "cut.tar"
    for size in range(0, end, 97):
        path.write_bytes(whole[:size])
        with pytest.raises(SampleError, match=r"not a complete tar file"):
            list(formats.read(path))
    path.write_bytes(whole[:1536])  # just behind the first file
    with pytest.raises(SampleError, match="its end is missing"):
        list(formats.read(path))
    packed = gzip.compress(whole, mtime=0)
    zipped = tmp_path / "cut.tar.gz"
    for size in (1, 30, len(packed) // 2, len(packed) - 4):
        zipped.write_bytes(packed[:size])
        with pytest.raises(SampleError, match=r"not a complete tar file"):
            list(formats.read(zipped))


def test_from_s3(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    system = fsspec.filesystem("s3")
    for path in two_tars(tmp_path / "tars"):
        system.put_file(str(path), f"{bucket}/data/{path.name}")
    local = list(formats.read(tmp_path / "tars"))
    for address in (f"{bucket}/data/part-{{000..001}}.tar", f"{bucket}/data/*.tar"):
        samples = list(formats.read(address))
        assert [sample.text for sample in samples] == [sample.text for sample in local]
        assert [sample.image and sample.image.name for sample in samples] == [
            sample.image and sample.image.name for sample in local
        ]
    assert samples[0].image is not None
    assert samples[0].image.parent == tmp_path / "home" / "images"
    assert [
        sample.id for sample in formats.read(f"{bucket}/data", format="webdataset", images=tmp_path / "here")
    ] == IDS
    assert len(list((tmp_path / "here").iterdir())) == 2
    for address, message in (
        (f"{bucket}/data/gone.tar", "no such object"),
        (f"{bucket}/data", "cannot be told by its ending; name one of these: parquet, webdataset"),
        (f"{bucket}/data/none*.tar", r"there is no \.tar"),
        ("s3://no-such-bucket-here/x.tar", "no-such-bucket-here"),
    ):
        with pytest.raises(SampleError, match=message):
            list(formats.read(address))
    with pytest.raises(SampleError, match="llava_json is read from one file on a disk"):
        list(formats.read(f"{bucket}/data/x.json", format="llava_json"))


def test_a_talk_is_a_sample_too(tmp_path: Path) -> None:
    path = tar(
        tmp_path / "x.tar", {"a.json": {"id": "named", "conversations": shards.talk("red")}, "a.png": png("red")}
    )
    [sample] = formats.read(path)
    assert (sample.id, sample.text) == ("named", "which colour?red")
