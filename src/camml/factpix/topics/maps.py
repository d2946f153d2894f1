"""Maps of countries with one division highlighted, in several palettes and cuts, with facts of the division."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from camml.factpix.catalog import SIDE, Entry, Fact, listed, slug
from camml.factpix.sources import Source
from camml.factpix.topics import _atlas

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KGEOGRAPHY = Source(
    "kgeography-data",
    "4:22.12.3-1",
    "1cdaf45dea7cbf1682a05109b4e9299934f0a60ca8866fa957cf4d9dcfe3982a",
    "KGeography maps",
    "Albert Astals Cid and other contributors",
    "GPL-2.0-or-later",
    "https://invent.kde.org/education/kgeography",
    debian=True,
)
SOURCES = (KGEOGRAPHY,)
ASKED_STYLE, NEW_STYLE, ASKED_STYLES = "paper", "chalk", 1


@dataclass(frozen=True, slots=True)
class Style:
    """The look of a drawn map.

    `margin` is what is shown around the division, in lengths of its longer side. Colours are those of the division,
    of other land, of water and all else, and of borders; where land has none, divisions keep pale colours of theirs.
    """

    margin: float
    region: _atlas.Color
    land: _atlas.Color | None
    water: _atlas.Color
    line: _atlas.Color
    turned: int = 0


STYLES: Mapping[str, Style] = {
    "atlas": Style(1.0, (214, 40, 40), None, (222, 238, 250), (90, 90, 90)),
    "paper": Style(0.7, (150, 75, 30), (236, 222, 190), (250, 244, 228), (170, 140, 100)),
    "night": Style(0.5, (255, 200, 40), (52, 62, 84), (20, 24, 38), (110, 122, 150)),
    "plain": Style(1.4, (30, 90, 180), (228, 228, 228), (255, 255, 255), (250, 250, 250)),
    "tilted": Style(0.8, (20, 130, 80), (210, 230, 205), (240, 248, 255), (120, 150, 120), turned=12),
    "chalk": Style(1.0, (240, 240, 230), (44, 82, 66), (34, 64, 52), (190, 200, 190), turned=-8),
}

LEFT_OUT = {
    *("africa", "asia", "caribbean", "europe", "ncamerica", "oceania", "southamerica", "world"),
    *("world_continents", "waters_world-class"),
}
"""Maps whose divisions are whole countries, which the topic of flags asks about, or no land."""

SMALLEST = 60
"""Pixels of the smallest division that is worth showing."""

NAMES = {
    "New-Zealand": "New Zealand",
    "Sri-Lanka": "Sri Lanka",
    "Great-Britain": "Great Britain",
    "Republic Of Ireland": "the Republic of Ireland",
    "Republic of Korea": "South Korea",
    "USA": "the United States",
    "The Netherlands": "the Netherlands",
    "United Arab Emirates": "the United Arab Emirates",
    "Democratic Republic of the Congo": "the Democratic Republic of the Congo",
    "Dominican Republic": "the Dominican Republic",
    "Philippines": "the Philippines",
    "Bosnia-Herzegovina": "Bosnia and Herzegovina",
}
KINDS = {
    "Counties": "county", "Municipalities": "municipality", "Parishes": "parish", "Peripheries": "periphery",
    "Autonomous communities": "autonomous community", "Comarques": "comarca", "Provinces and Territories": "province",
    "Counties and Independent Cities": "county", "States and divisions": "division",
    "States and Territories": "state", "Provinces (traditional)": "traditional province",
}  # fmt: skip
"""Kinds of divisions in the singular, where that is not their plural without its "s"."""

MOST_TOLD = 4
THIRDS = (("northwest", "north", "northeast"), ("west", "center", "east"), ("southwest", "south", "southeast"))


@dataclass(frozen=True, slots=True)
class MapDrawing:
    """A map with one division highlighted."""

    file: Path
    number: int
    style: str

    def png(self) -> bytes:
        """Draw the map around the division, its longer side `SIDE` pixels."""
        atlas, style = _atlas.read(self.file), STYLES[self.style]
        labels = atlas.labels()
        image = Image.fromarray(_palette(atlas, self.number, style)[_cut(labels, self.number, style.margin)])
        scale = SIDE / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS)
        if style.turned:
            image = image.rotate(style.turned, Image.Resampling.BICUBIC, fillcolor=style.water)
        stream = BytesIO()
        image.save(stream, "PNG")
        return stream.getvalue()


def entries() -> Sequence[Entry]:
    """Return every division that is large enough to be seen, of every map of one country or state."""
    folder = KGEOGRAPHY.fetch() / "usr" / "share" / "kgeography"
    by_key: dict[str, Entry] = {}
    for file in sorted(folder.glob("*.kgm")):
        if file.stem not in LEFT_OUT:
            by_key |= {entry.key: entry for entry in entries_of(file)}
    return [by_key[key] for key in sorted(by_key)]


def entries_of(file: Path) -> Iterator[Entry]:
    """Yield the divisions of one map."""
    import numpy as np

    atlas = _atlas.read(file)
    labels, regions, near = atlas.labels(), atlas.regions, _atlas.neighbors(atlas)
    sizes = np.bincount(labels.ravel(), minlength=len(atlas.divisions) + 1)
    names = {number: division.name for number, division in regions.items()}
    where = _boxes(labels, list(regions))
    for number, division in regions.items():
        if sizes[number] < SMALLEST or "[" in division.name or list(names.values()).count(division.name) > 1:
            continue
        close = tuple(sorted(names[other] for other in near[number]))
        facts = facts_of(atlas, division, close, _part(where, number))
        rivals = sorted(set(names.values()) - set(close) - {division.name})
        drawings = {style: MapDrawing(file, number, style) for style in STYLES}
        key, kin = slug(f"{file.stem} {division.name}"), division.name.casefold()
        yield Entry(key, kin, facts, drawings, {"borders": rivals})


def facts_of(atlas: _atlas.Map, division: _atlas.Division, near: tuple[str, ...], part: str) -> dict[str, Fact]:
    """Return the known facts about a division, field by field."""
    country = re.sub(r" (\(.*|by .*|(Districts|Provinces).*)$", "", atlas.name)
    country = NAMES.get(country, country)
    kind = KINDS.get(atlas.divisions_name, atlas.divisions_name.removesuffix("s").lower())
    told = listed(near) if len(near) <= MOST_TOLD else ", ".join(near[:MOST_TOLD]) + " and others"
    bare = country.removeprefix("the ")
    known = {
        "name": Fact((division.name,)),
        "kind": Fact((kind,)),
        "country": Fact((country,), (bare,) if bare != country else ()),
        "capital": Fact((division.capital,) if division.capital else ()),
        "part": Fact((part,) if part else ()),
        "borders": Fact(near[:MOST_TOLD], phrase=told),
    }
    return {field: fact for field, fact in known.items() if fact.values}


def _boxes(labels: "NDArray[np.int16]", regions: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Return the middle of each region as a share of the height and width of all regions together, in [0, 1]."""
    import numpy as np

    land = np.argwhere(np.isin(labels, regions))
    if not len(land):
        return {}
    low, high = land.min(0), land.max(0)
    middles = {number: np.argwhere(labels == number) for number in regions}
    spread = np.maximum(high - low, 1)
    return {number: tuple((pixels.mean(0) - low) / spread) for number, pixels in middles.items() if len(pixels)}


def _part(where: Mapping[int, tuple[float, float]], number: int) -> str:
    """Return in which part of its country a region is; empty where it is too near to the limit of two parts."""
    place = []
    for share in where[number]:
        if any(abs(share - limit) < 0.03 for limit in (1 / 3, 2 / 3)):
            return ""
        place.append(min(2, int(share * 3)))
    return THIRDS[place[0]][place[1]]


def _palette(atlas: _atlas.Map, number: int, style: Style) -> "NDArray[np.uint8]":
    """Return uint8[divisions + 1, 3]: the colour of each division."""
    import numpy as np

    lines, regions = atlas.lines(), atlas.regions
    colors = [style.line]  # what has no division is anti-aliased border or lettering
    for other, division in enumerate(atlas.divisions, 1):
        if other in lines:
            colors.append(style.line)
        elif other in regions:
            pale: _atlas.Color = tuple(128 + channel // 2 for channel in division.color)  # type: ignore[assignment]
            colors.append(style.region if other == number else style.land or pale)
        else:
            colors.append(style.water)
    return np.array(colors, np.uint8)


def _cut(labels: "NDArray[np.int16]", number: int, margin: float) -> "NDArray[np.int16]":
    """Cut out the part of a map around a region."""
    import numpy as np

    rows, columns = np.nonzero(labels == number)
    around = int(margin * max(int(np.ptp(rows)), int(np.ptp(columns)), 8)) + 2
    top, left = max(0, rows.min() - around), max(0, columns.min() - around)
    return labels[top : rows.max() + around + 1, left : columns.max() + around + 1]
