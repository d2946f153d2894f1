"""Drawings out of Iconify's JSON icon sets, rendered on white."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from camml.errors import OptionError
from camml.factpix.catalog import SIDE


@dataclass(frozen=True, slots=True)
class IconDrawing:
    """One icon of a set; `file` is the set's `icons.json`."""

    file: Path
    name: str

    def png(self) -> bytes:
        """Draw the icon on white, its longer side `SIDE` pixels."""
        return read(self.file).png(self.name)


class IconSet:
    """The icons of one set by name, and which of them draws which characters."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._json: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        chars = file.with_name("chars.json")
        self.names_of_characters: Mapping[str, str] = json.loads(chars.read_text()) if chars.is_file() else {}

    def drawing(self, name: str | None) -> IconDrawing | None:
        """Return the drawing called `name`, or None where the set has none."""
        return IconDrawing(self.file, name) if name and self._icon(name) else None

    def body(self, name: str) -> str:
        """Return the SVG elements of a drawing: two names with one body are one picture."""
        return str((self._icon(name) or {})["body"])

    def png(self, name: str) -> bytes:
        """Draw the icon called `name` on white, its longer side `SIDE` pixels."""
        resvg = renderer()
        icon = self._icon(name)
        assert icon is not None, f"{self.file} has no icon {name}"
        left, top, width, height = (self._measure(icon, side) for side in ("left", "top", "width", "height"))
        scale = SIDE / max(width, height)
        head = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        svg = f'<svg {head} viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
        size = {"width": round(width * scale), "height": round(height * scale)}
        return bytes(resvg.svg_to_bytes(svg_string=svg, background="white", skip_system_fonts=True, **size))

    def _icon(self, name: str) -> Mapping[str, Any] | None:
        """Return an icon, or the one that an alias names; aliases that turn or mirror are not used."""
        icons = self._json["icons"]
        alias = self._json.get("aliases", {}).get(name)
        if name not in icons and alias and set(alias) == {"parent"}:
            return self._icon(alias["parent"])
        return icons.get(name)  # type: ignore[no-any-return]

    def _measure(self, icon: Mapping[str, Any], side: str) -> float:
        return float(icon.get(side, self._json.get(side, 0 if side in ("left", "top") else 16)))


@cache
def read(file: Path) -> IconSet:
    """Read the icon set in a file, once in a process."""
    return IconSet(file)


def renderer() -> Any:
    """Import the module that draws SVG.

    Raises:
      OptionError: it is not installed.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise OptionError(
            "pictures are drawn with resvg-py, which is not installed; pip install 'camml[bench]'"
        ) from error
    return resvg_py
