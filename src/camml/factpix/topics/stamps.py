"""Tux Paint's stamps: cut-out photos and drawings with captions in many languages, redrawn in several styles."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageFilter, ImageOps

from camml.factpix.catalog import SIDE, Entry, Fact, slug
from camml.factpix.icons import renderer
from camml.factpix.sources import Source

TUX_PAINT = Source(
    "tuxpaint-stamps-default",
    "2022.06.04-1",
    "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
    "Tux Paint stamps",
    "Bill Kendrick and other contributors",
    "GPL-2.0",
    "https://tuxpaint.org/stamps/",
    debian=True,
)
SOURCES = (TUX_PAINT,)
ASKED_STYLE, NEW_STYLE, ASKED_STYLES = "postcard", "mosaic", 2
STYLES = ("color", "gray", "mosaic", "poster", "postcard", "sepia", "sketch")

ENGLISH = re.compile(r"^(An?|The|Some) ")
LANGUAGES = {
    "german": ("de.utf8", re.compile(r"^(Eine?|Einige|Der|Die|Das) ")),
    "french": ("fr.utf8", re.compile(r"^(Une? |Des |L[ea] |Les |L['’])")),
}
"""Captions in other languages: under which key they stand, and what they begin with."""
LEFT_OUT = ("symbols/alphabets", "symbols/math", "town/flags")
"""Letters and numbers, which look alike, and flags, a topic of their own."""

UNDRAWABLE = {
    *("animals-insects-cartoon-ant", "animals-insects-cartoon-spider", "clothes-sunglasses-01"),
    *("clothes-sunglasses-02", "clothes-t-shirt-01", "food-fruit-cartoon-apple-core-01"),
    *("food-fruit-cartoon-watermelon", "plants-toadstool", "space-toyrocket", "town-houses-cartoon-lighthouse"),
}
"""Stamps that exist as SVG alone, of a size that the renderer does not take."""

LONGEST = 5
"""Words of the longest caption that is taken for a name."""

KINDS = {"arttools": "art tools", "roadsigns": "road signs", "masstransit": "mass transit", "flight": "aircraft",
         "body_parts": "body parts", "newyears": "New Year", "ship": "ships", "auto": "cars", "race": "race cars",
         "locomotive": "trains", "lizards": "lizards", "dinosaur": "dinosaurs", "naturalforces": "natural forces",
         "christmas": "Christmas", "easter": "Easter", "halloween": "Halloween", "hanukkah": "Hanukkah",
         "emergency": "emergency vehicles", "construction": "construction vehicles", "farming": "farm vehicles",
         "cycle": "bicycles"}  # fmt: skip
"""Folders by the words that people use."""

SHAPES = frozenset(("cartoon", "coins", "bills", "us", "euro", "canadian", "japanese", "00_symbols"))
"""Folders that say how a thing is drawn, or are too fine to ask about."""


@dataclass(frozen=True, slots=True)
class StampDrawing:
    """A stamp in one style; `file` is its PNG or SVG."""

    file: Path
    style: str

    def png(self) -> bytes:
        """Draw the stamp on a ground, at most `SIDE` pixels on its longer side."""
        stream = BytesIO()
        redrawn(_cut_out(self.file), self.style).save(stream, "PNG")
        return stream.getvalue()


@lru_cache(maxsize=4)  # its styles are drawn one after the other, and many originals are large
def _cut_out(file: Path) -> Image.Image:
    """Cut out the stamp alone, RGBA, its longer side `SIDE` pixels."""
    data = file.read_bytes()
    if file.suffix == ".svg":
        data = bytes(renderer().svg_to_bytes(svg_path=str(file), skip_system_fonts=True, width=4 * SIDE))
    with Image.open(BytesIO(data)) as image:
        stamp = image.convert("RGBA")
    stamp = stamp.crop(stamp.getbbox() or (0, 0, 1, 1))
    scale = SIDE / max(stamp.size)
    size = (max(1, round(stamp.width * scale)), max(1, round(stamp.height * scale)))
    return stamp.resize(size, Image.Resampling.LANCZOS)


def redrawn(stamp: Image.Image, style: str) -> Image.Image:
    """Redraw the stamp (RGBA) in one style, as RGB."""
    if style == "postcard":  # mirrored, tilted, on a coloured ground
        tilted = ImageOps.mirror(stamp).rotate(12, Image.Resampling.BICUBIC, expand=True)
        tilted.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        return _on(tilted, (203, 220, 240))
    plain = _on(stamp, (255, 255, 255))
    gray = ImageOps.grayscale(plain)
    if style == "gray":
        return gray.convert("RGB")
    if style == "sepia":
        return ImageOps.colorize(gray, (60, 30, 10), (250, 240, 215))
    if style == "poster":
        return ImageOps.mirror(ImageOps.posterize(plain, 2))
    if style == "sketch":
        edges = ImageOps.invert(gray.filter(ImageFilter.GaussianBlur(1)).filter(ImageFilter.FIND_EDGES))
        return ImageOps.autocontrast(edges, cutoff=2).convert("RGB")
    if style == "mosaic":
        small = plain.resize((max(1, plain.width // 8), max(1, plain.height // 8)), Image.Resampling.BOX)
        return small.resize(plain.size, Image.Resampling.NEAREST)
    return plain


def entries() -> Sequence[Entry]:
    """Return every stamp whose caption is a name and not a sentence."""
    root = TUX_PAINT.fetch() / "usr" / "share" / "tuxpaint" / "stamps"
    entries = []
    for caption in sorted(root.rglob("*.txt")):
        place = caption.relative_to(root)
        file = next((f for f in (caption.with_suffix(".png"), caption.with_suffix(".svg")) if f.is_file()), None)
        known = facts(caption.read_text(encoding="utf-8").splitlines(), place)
        key = slug(place.with_suffix("").as_posix())
        if file and known and key not in UNDRAWABLE and not place.as_posix().startswith(LEFT_OUT):
            drawings = {style: StampDrawing(file, style) for style in STYLES}
            entries.append(Entry(key, known["name"].answer.casefold(), known, drawings))
    return entries


def facts(lines: Sequence[str], place: Path) -> Mapping[str, Fact]:
    """Return the known facts about a stamp, from its captions and folders; nothing where the caption is no name."""
    name = _name(lines[0])
    if not name:
        return {}
    captions = dict(line.split("=", 1) for line in lines[1:] if "=" in line)
    folders = [folder for folder in place.parent.parts if folder not in SHAPES]
    kind = KINDS.get(folders[1], folders[1]) if len(folders) > 1 else ""
    known = {"name": Fact((name,), phrase=f"“{name}”"), "theme": Fact((KINDS.get(folders[0], folders[0]),))}
    if kind:
        known["kind"] = Fact((kind,))
    for field, (key, articles) in LANGUAGES.items():
        foreign = _name(captions.get(key, ""), articles)
        if foreign and foreign.casefold() != name.casefold():
            known[field] = Fact((foreign,), phrase=f"“{foreign}”")
    return known


def _name(caption: str, articles: re.Pattern[str] = ENGLISH) -> str:
    """Read a name from a caption: "brown bear" from "A brown bear."; empty if it is no name, as "Say cheese!"."""
    text = caption.strip().rstrip(". ")
    bare = articles.sub("", text)
    return "" if bare == text or len(bare.split()) > LONGEST or re.search(r"[.!?:;(“]", bare) else bare


def _on(stamp: Image.Image, ground: tuple[int, int, int]) -> Image.Image:
    """Put the stamp on a colour."""
    below = Image.new("RGBA", stamp.size, ground)
    return Image.alpha_composite(below, stamp).convert("RGB")
