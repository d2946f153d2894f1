"""Drawings without a background, out of two packages of Debian, and painted landscapes to put behind them."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from camml.factpix.catalog import slug
from camml.factpix.sources import Source

CLIPART = Source(
    "openclipart-png",
    "1:0.18+dfsg-19",
    "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
    "Open Clip Art Library",
    "Artists of openclipart.org",
    "Public domain",
    "https://openclipart.org",
    debian=True,
)
WESNOTH = Source(
    "wesnoth-1.16-data",
    "1:1.16.9-1",
    "1012b964bd412a6770685e3324ae3b61e176caff7846192d1ee63d55cd621e26",
    "The Battle for Wesnoth: portraits and landscapes",
    "Artists of the Battle for Wesnoth",
    "GPL-2.0-or-later",
    "https://www.wesnoth.org",
    debian=True,
)
TOPICS = {"clipart": CLIPART, "portraits": WESNOTH}
"""Where the pictures of a topic come from."""

FOLDERS = (
    *("animals", "buildings", "computer/hardware", "containers", "decorations", "education", "electronics", "food"),
    *("office", "people/clothing", "plants", "recreation/music", "recreation/sports", "recreation/toys", "science"),
    *("tools", "transportation"),
)
LEFT_OUT = ("transportation/aiga-symbols", "transportation/roadsigns", "people/clothing/pantyhose", "zombie-")
"""Signs, which look alike, drawings with a message that a part is missing, portraits in another colour."""

SIDES = (90, 1600)
"""Pixels of the shorter side at least, and of the longer at most."""

COVERED = (0.2, 0.97)
"""Share of its box that a drawing covers: less is lines, more has a background of its own."""

COLORED, VIVID = 0.1, 60
"""Share of pixels that are not gray, and the saturation from which one is not, of 255."""

ALIKE = 9
"""Two drawings whose 64 signs differ in fewer are versions of one."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """A drawing on nothing: a PNG with transparency."""

    topic: str
    key: str
    file: Path


def cutouts(topic: str) -> list[Cutout]:
    """Return all drawings of a topic that can be told apart, in an order that does not change.

    Raises:
      FetchError: the package could not be obtained.
    """
    root = TOPICS[topic].fetch()
    return clipart(root) if topic == "clipart" else portraits(root)


def clipart(root: Path) -> list[Cutout]:
    """Return the drawings in an unpacked `openclipart-png`."""
    place = root / "usr/share/openclipart/png"
    files = [file for folder in FOLDERS for file in (place / folder).rglob("*.png")]
    return _different("clipart", place, files)


def portraits(root: Path) -> list[Cutout]:
    """Return the portraits in an unpacked `wesnoth-1.16-data`."""
    place = _images(root) / "portraits"
    return _different("portraits", place, place.rglob("*.png"))


def scenes(root: Path) -> list[Path]:
    """Return the landscapes in an unpacked `wesnoth-1.16-data`."""
    return sorted((_images(root) / "story").glob("*.jpg"))


def trimmed(file: Path) -> Image.Image:
    """Return a drawing without the empty frame around it."""
    with Image.open(file) as image:
        whole = image.convert("RGBA")
    return whole.crop(whole.getchannel("A").getbbox())


def _images(root: Path) -> Path:
    return root / "usr/share/games/wesnoth/1.16/data/core/images"


def _different(topic: str, place: Path, files: Iterable[Path]) -> list[Cutout]:
    """Return the files that can be used, the first of those that look alike."""
    seen: list[int] = []
    chosen = []
    for file in sorted(set(files)):
        name = file.relative_to(place).as_posix()
        if name.startswith(LEFT_OUT) or file.name.startswith(LEFT_OUT) or not _sized(file):
            continue
        image = trimmed(file)
        signs = [_signs(image), _signs(ImageOps.mirror(image))]
        if _usable(image) and all((mine ^ other).bit_count() >= ALIKE for mine in signs for other in seen):
            seen.append(signs[0])
            chosen.append(Cutout(topic, slug(name.removesuffix(".png")), file))
    return chosen


def _sized(file: Path) -> bool:
    """Return True if the header of a PNG has usable sides; nothing is decoded, as some would fill the memory."""
    with file.open("rb") as stream:
        head = stream.read(24)
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n":
        return False
    sides: tuple[int, int] = struct.unpack(">II", head[16:24])
    return min(sides) >= SIDES[0] and max(sides) <= SIDES[1]


def _usable(image: Image.Image) -> bool:
    """Return True if a drawing has colours and covers neither too little nor all of its box."""
    small = image.resize((32, 32))
    white = Image.new("RGBA", small.size, "white")
    white.alpha_composite(small)
    shape = max(image.size) <= 3 * min(image.size) and min(image.size) >= SIDES[0] - 10
    covered = _share(_values(small.getchannel("A")), 128)
    colored = _share(_values(white.convert("HSV").getchannel("S")), VIVID)
    return shape and COVERED[0] < covered < COVERED[1] and colored > COLORED


def _signs(image: Image.Image) -> int:
    """Return 64 signs of what a drawing looks like: where on white it gets darker to the right."""
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    gray = list(_values(white.convert("L").resize((9, 8), Image.Resampling.BOX)))
    pairs = ((row, column) for row in range(8) for column in range(8))
    return sum((gray[r * 9 + c] > gray[r * 9 + c + 1]) << (r * 8 + c) for r, c in pairs)


def _values(channel: Image.Image) -> Iterator[int]:
    yield from channel.tobytes()


def _share(values: Iterable[int], above: int) -> float:
    known = list(values)
    return sum(value > above for value in known) / len(known)
