"""KGeography's maps: a picture in which every division has a colour of its own, and a list of names and capitals."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Color = tuple[int, int, int]
REACH = 3
"""Pixels by which a division grows over the drawn borders, to meet its neighbours."""

MEETING = 4
"""So many pairs of touching pixels make a common border."""


@dataclass(frozen=True, slots=True)
class Division:
    """One division of a map; `capital` is empty where none is given, and lines, water and what is abroad are not
    `playable`.
    """

    name: str
    capital: str
    color: Color
    playable: bool


@dataclass(frozen=True, slots=True)
class Map:
    """A map as its `.kgm` file describes it."""

    picture: Path
    name: str
    divisions_name: str
    divisions: tuple[Division, ...]

    @property
    def regions(self) -> dict[int, Division]:
        """The divisions that are places, by their number in `labels`."""
        return {n: d for n, d in enumerate(self.divisions, 1) if d.playable}

    def labels(self) -> "NDArray[np.int16]":
        """Return int16[H, W]: for each pixel the number of its division, counted from 1; 0 for colours of none."""
        return _labels(self.picture, tuple(division.color for division in self.divisions))

    def lines(self) -> list[int]:
        """Return the numbers of divisions that are drawn borders."""
        return [n for n, d in enumerate(self.divisions, 1) if re.match(r"frontier|border", d.name, re.IGNORECASE)]


@cache
def read(file: Path) -> Map:
    """Read the map that a `.kgm` file describes."""
    root = ElementTree.parse(file).getroot()
    divisions = tuple(_division(element) for element in root.findall("division"))
    picture = file.with_name(_text(root, "mapFile"))
    return Map(picture, _text(root, "name"), _text(root, "divisionsName"), divisions)


def neighbors(atlas: Map) -> dict[int, set[int]]:
    """Return for each region, by number, the regions it has a common border with on the map."""
    import numpy as np

    labels, places = atlas.labels(), list(atlas.regions)
    lines = np.isin(labels, atlas.lines())
    grown = np.where(lines, 0, labels)
    for _ in range(REACH):
        for shifted in _shifts(grown):
            # over borders only: what faces it across water is no neighbour
            grown = np.where((grown == 0) & lines, shifted, grown)
    adjacent: dict[int, set[int]] = {place: set() for place in places}
    for first, second in ((grown[:, :-1], grown[:, 1:]), (grown[:-1], grown[1:])):
        apart = first != second
        pairs, counts = np.unique(np.stack([first[apart], second[apart]]), axis=1, return_counts=True)
        for (a, b), count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
            if count >= MEETING and a in adjacent and b in adjacent:
                adjacent[a].add(b)
                adjacent[b].add(a)
    return adjacent


def _shifts(labels: "NDArray[np.int16]") -> Iterator["NDArray[np.int16]"]:
    import numpy as np

    for axis in (0, 1):
        for step in (1, -1):
            shifted = np.roll(labels, step, axis)
            edge = [slice(None)] * 2
            edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            shifted[tuple(edge)] = 0
            yield shifted


@cache
def _labels(picture: Path, colors: tuple[Color, ...]) -> "NDArray[np.int16]":
    import numpy as np

    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB")).astype(np.int32)
    codes = (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
    labels = np.zeros(codes.shape, np.int16)
    for number, (red, green, blue) in enumerate(colors, 1):
        labels[codes == (red << 16 | green << 8 | blue)] = number
    return labels


def _division(element: ElementTree.Element) -> Division:
    red, green, blue = (int(_text(element, f"color/{channel}")) for channel in ("red", "green", "blue"))
    playable = element.findtext("ignore") in (None, "allowClickMode", "allowClickFlagMode")
    return Division(_text(element, "name"), _text(element, "capital"), (red, green, blue), playable)


def _text(element: ElementTree.Element, path: str) -> str:
    return " ".join((element.findtext(path) or "").split())
