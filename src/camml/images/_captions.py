"""The words that people wrote into a picture file: its title and its description in XMP, IPTC and EXIF."""

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

from PIL import ExifTags, Image, ImageFile, IptcImagePlugin

LONGEST = 20_000
"""Characters of a description that are kept."""

_PROGRAMS = (
    r"gimp|vsco(cam)?|snapseed|moldiv|rookie|picsart|polarr|lightroom|photoshop( express)?|luminar|darktable|"
    r"rawtherapee|canva|paint\.net|inkscape|krita|imagemagick|instagram|b612|meitu|facetune|afterlight|photoscape|pixlr|"
    r"hipstamatic"
)
_BY_CAMERAS = re.compile(
    r"\W*+(olympus digital camera|sony dsc|dsc|samsung|default|digital still ?camera|exif_jpeg_picture|"
    r"(konica )?minolta digital camera|screenshot|binary comment|"
    r"cof|oznor\w*|r?hdr|sdr|mde|btf|ptr|edf|dcim[\\/]\S*|"  # of Huawei, Honor and DJI
    rf"(created|edited|made|processed) (with|by|using|in) (the |adobe )?({_PROGRAMS})( with .{{0,30}}preset)?[ \d.]*+|"
    r"processed by ebay with .*+|imagej=.*+|lead technologies.*+|aperio image library.*+)?\W*+",
    re.IGNORECASE | re.DOTALL,
)
"""Descriptions that cameras, phones and programs write by themselves."""
_MARKUP = ("<", "{")
"""Signs that descriptions begin with which are for programs: XML and JSON."""
_DC, _RDF = "{http://purl.org/dc/elements/1.1/}", "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_CHARSETS = {b"ASCII\0\0\0": "ascii", b"UNICODE\0": "utf-16", b"\0" * 8: "utf-8"}
_UTF8 = b"\x1b%G"

Words = Iterator[tuple[str, str]]
"""Pairs of `title` or `description`, and the text."""


def words_in(path: Path, formats: list[str]) -> str:
    """Return the title and the description in a picture file, each in a line; "" where there are none.

    Notes that cannot be read count as none: a damaged picture is an error of whoever decodes it.
    """
    captions: dict[str, str] = {}
    with suppress(Exception), Image.open(path, formats=formats) as image:  # parsers raise whatever they stumble over
        readers: tuple[Callable[[Image.Image], Words], ...] = (_of_xmp, _of_iptc, _of_exif, _of_png)
        for reader in readers:
            with suppress(Exception):
                for kind, text in reader(image):
                    text = text.replace("\0", "").strip()[:LONGEST]
                    if not _BY_CAMERAS.fullmatch(text) and not text.startswith(_MARKUP):
                        captions.setdefault(kind, text)
    title, description = captions.get("title", ""), captions.get("description", "")
    return description if title in description else f"{title}\n{description}".strip()


def _of_xmp(image: Image.Image) -> Words:
    data = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    data = data.encode() if isinstance(data, str) else data
    if not data or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return
    root = ElementTree.fromstring(data.strip(b"\0 \n"))
    for kind in ("title", "description"):
        for element in root.iter(_DC + kind):
            for text in (*(item.text for item in element.iter(_RDF + "li")), element.text):
                yield kind, text or ""
        for element in root.iter(_RDF + "Description"):
            yield kind, element.get(_DC + kind, "")


def _of_iptc(image: Image.Image) -> Words:
    notes = IptcImagePlugin.getiptcinfo(cast(ImageFile.ImageFile, image)) or {}
    for kind, number in (("title", 105), ("title", 5), ("description", 120)):
        data = notes.get((2, number), b"")
        data = data[0] if isinstance(data, list) else data
        if notes.get((1, 90)) == _UTF8:
            yield kind, data.decode("utf-8", "replace")
        else:
            yield kind, _decoded(data)


def _of_exif(image: Image.Image) -> Words:
    notes = image.getexif()
    for kind, tag in (
        ("description", ExifTags.Base.ImageDescription),
        ("title", ExifTags.Base.XPTitle),
        ("description", ExifTags.Base.XPComment),
        ("description", ExifTags.Base.XPSubject),
    ):
        value = notes.get(tag, "")
        if isinstance(value, str):
            yield kind, _decoded(value.encode("latin-1", "replace"))  # Pillow takes all for Latin-1
        elif isinstance(value, bytes | tuple):
            yield kind, bytes(value).decode("utf-16-le", "replace")
    comment = notes.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
    if isinstance(comment, bytes) and comment[:8] in _CHARSETS:
        charset, comment = _CHARSETS[comment[:8]], comment[8:]
        if charset == "utf-16" and not comment.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):  # in the order of the notes
            charset = "utf-16-be" if notes.endian == ">" else "utf-16-le"
        yield "description", comment.decode(charset, "replace")


def _of_png(image: Image.Image) -> Words:
    for kind in ("title", "description"):
        value = image.info.get(kind.capitalize(), "")
        yield kind, value if isinstance(value, str) else ""


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
