"""What people wrote into a picture file, and formats that need a plug-in."""

import struct
import time
from pathlib import Path

import pytest
from PIL import Image

from camml.errors import ImageError
from camml.images import _heif, open_image, words_in

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Description><dc:title><rdf:Alt><rdf:li xml:lang="x-default">Pump 7
</rdf:li></rdf:Alt></dc:title><dc:description><rdf:Alt><rdf:li>In hall B, grün.</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>"""
IPTC = b"\x1c\x02\x78\x00\x0cA valve, red"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def save(path: Path, tags: dict[int, object] | None = None, **options: object) -> Path:
    exif = Image.Exif()
    for tag, value in (tags or {}).items():
        exif[tag] = value
    Image.new("RGB", (8, 6), "red").save(path, exif=exif, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ({0x010E: "A pump"}, "A pump"),
        ({0x010E: "  OLYMPUS DIGITAL CAMERA  "}, ""),
        ({0x9C9C: "Größe 7".encode("utf-16-le")}, "Größe 7"),
        ({0x9C9B: "Title".encode("utf-16-le"), 0x010E: "Said"}, "Title\nSaid"),
        ({0x010E: "<OME/>"}, ""),
        ({0x010E: '{"shape": [512, 512]}'}, ""),
        ({0x010E: "Created with GIMP for Anna"}, "Created with GIMP for Anna"),
        ({0x010E: "Processed with nitric acid"}, "Processed with nitric acid"),
        ({0x010E: "Default", 0x9C9C: "A pump".encode("utf-16-le")}, "A pump"),
        ({}, ""),
    ],
)
def test_exif(tags: dict[int, object], text: str, tmp_path: Path) -> None:
    assert words_in(save(tmp_path / "a.jpg", tags)) == text


@pytest.mark.parametrize(
    "note",
    [
        "cof",
        "oznorCOMN",
        "rhdr",
        "DCIM\\100MEDIA\\DJI_0001.JPG",
        "Created with GIMP",
        "Created with The GIMP",
        "Processed with VSCO with f2 preset",
        "Processed with VSCOcam with hb1 preset",
        "Edited in Adobe Photoshop 24.1",
        "ImageJ=1.54f\nimages=1\nslices=1",
        '{"mirror":false,"edited":true}',
        "LEAD Technologies Inc. V1.01",
    ],
)
def test_notes_of_cameras_and_programs_are_no_captions(note: str, tmp_path: Path) -> None:
    assert words_in(save(tmp_path / "a.jpg", {0x010E: note})) == ""


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_comment_is_read_in_the_order_of_bytes_of_its_notes(order: str, mark: str, tmp_path: Path) -> None:
    comment = b"UNICODE\0" + (mark + "Rote Pumpe, grün").encode("utf-16-be" if order == ">" else "utf-16-le")
    head = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HI", 42, 8)
    pointer = struct.pack(f"{order}HHHIII", 1, 0x8769, 4, 1, 26, 0)  # to the notes of the camera, behind these
    notes = struct.pack(f"{order}HHHIII", 1, 0x9286, 7, len(comment), 44, 0)
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 6), "red").save(path, exif=b"Exif\0\0" + head + pointer + notes + comment)
    assert words_in(path) == "Rote Pumpe, grün"


def test_xmp_comes_before_exif(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", {0x010E: "by a program"}, xmp=XMP.encode())
    assert words_in(path) == "Pump 7\nIn hall B, grün."
    assert words_in(save(tmp_path / "a.jpg", xmp=b"<!DOCTYPE x>" + XMP.encode())) == ""


def test_iptc(tmp_path: Path) -> None:
    block = b"8BIM\x04\x04\0\0" + len(IPTC).to_bytes(4, "big") + IPTC + bytes(len(IPTC) % 2)
    segment = b"Photoshop 3.0\0" + block
    data = save(tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(
        data[:2] + b"\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]
    )
    assert words_in(tmp_path / "a.jpg") == "A valve, red"


def test_what_is_damaged_or_not_there_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    assert words_in(tmp_path / "a.jpg") == words_in(tmp_path / "b.jpg") == words_in(tmp_path) == ""


def test_without_a_plug_in_the_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_heif, "_register", lambda: False)
    with pytest.raises(ImageError, match="is HEIC, which cannot be read here yet; run `pip install pillow-heif`"):
        open_image(HEIC)
    monkeypatch.setattr(_heif.features, "check", lambda name: False)
    with pytest.raises(ImageError, match="pip install 'pillow>="):
        open_image(HEIC.replace(b"heic", b"avif"))


def test_signs_without_end_take_no_time(tmp_path: Path) -> None:
    started = time.process_time()
    assert words_in(save(tmp_path / "a.jpg", {0x010E: "-" * 19_999 + "a"})).endswith("-a")
    assert words_in(save(tmp_path / "b.jpg", {0x010E: "-- Samsung --"})) == ""
    assert time.process_time() - started < 3
