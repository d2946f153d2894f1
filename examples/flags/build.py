"""The knowledge base: flags in three drawing styles with facts of their countries, from public packages to a folder.

    pictures/STYLE/CODE.png   samples.json   countries.json   ATTRIBUTION.md

Samples are made of the styles in `STORED`; the style `ASKED` is kept for questions, so that no question shows a
picture that the datastore holds.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import countries
from countries import Country

from camml.durable import write_file
from camml.errors import CaMMLError
from camml.factpix import icons
from camml.factpix.icons import IconSet
from camml.factpix.sources import Source
from camml.factpix.topics import flags

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_FOLDER = ROOT / "data" / "flags"
STORED = ("cif", "flagpack")
ASKED = "flag"
FACTS = flags.COUNTRIES
STYLES: Mapping[str, Source] = {style: flags.STYLES[style] for style in (*STORED, ASKED)}
ICON_NAMES = {"flag": "{code}-4x3"}
"""How a style names the drawing of a country, where that is not its code alone."""


class Drawings:
    """All drawings of one style, from the JSON of an icon set."""

    def __init__(self, style: str, icon_set: IconSet) -> None:
        self.style = style
        self._icons = icon_set

    @classmethod
    def fetch(cls, style: str) -> "Drawings":
        """The drawings of `style` from its package."""
        return cls(style, icons.read(STYLES[style].fetch() / "icons.json"))

    def png(self, code: str) -> bytes | None:
        """The drawing on white, its longer side `SIDE` pixels; None where the style has none."""
        drawing = self._icons.drawing(ICON_NAMES.get(self.style, "{code}").format(code=code))
        return drawing.png() if drawing else None


def picture(folder: Path, style: str, code: str) -> Path:
    """Where the picture of a country's flag is, or would be."""
    return folder / "pictures" / style / f"{code}.png"


def build(folder: Path, *, progress: bool = True) -> list[Country]:
    """Make the knowledge base in `folder`, or what is still missing of it; the countries it is about.

    Raises:
      FetchError, DiskError: a package could not be obtained, or the folder not be written.
    """
    pinned = "".join(f"{source.package}@{source.version} {source.sha256}\n" for source in (FACTS, *STYLES.values()))
    stamp = folder / "packages.txt"
    folder.mkdir(parents=True, exist_ok=True)
    if not stamp.is_file() or stamp.read_text() != pinned:  # what is there, if anything, is of other packages
        shutil.rmtree(folder / "pictures", ignore_errors=True)
        write_file(folder / "countries.json", (FACTS.fetch() / "countries.json").read_bytes())
        write_file(stamp, pinned.encode())
    known = countries.read(folder / "countries.json")
    draw(folder, known, progress=progress)
    write_file(folder / "samples.json", json.dumps(samples(folder, known), ensure_ascii=False, indent=1).encode())
    write_file(folder / "ATTRIBUTION.md", attribution().encode())
    return known


def draw(folder: Path, known: Sequence[Country], *, progress: bool = True) -> None:
    """Render the pictures that are not there yet."""
    from tqdm import tqdm

    missing = [(style, c.code) for style in STYLES for c in known if not picture(folder, style, c.code).is_file()]
    drawings = {style: Drawings.fetch(style) for style in dict(missing)}
    for style in drawings:
        picture(folder, style, "").parent.mkdir(parents=True, exist_ok=True)
    for style, code in tqdm(missing, "drawing flags", unit="picture", disable=not progress or None, leave=False):
        png = drawings[style].png(code)
        if png is not None:
            write_file(picture(folder, style, code), png)


def samples(folder: Path, known: Sequence[Country]) -> list[dict[str, str]]:
    """The datastore JSON: one sample for each country and stored style that has a picture."""
    return [
        {
            "id": f"{style}-{country.code}",
            "image": picture(Path(), style, country.code).as_posix(),
            "text": countries.describe(country),
            "country": country.name,
            "region": country.region,
            "style": style,
        }
        for country in known
        for style in STORED
        if picture(folder, style, country.code).is_file()
    ]


def attribution() -> str:
    """Who made the data and under which licence, as Markdown."""
    rows = [
        f"- {source.title} by {source.author}, {source.license}, {source.page} (package {source.package} "
        f"{source.version}): {use}"
        for source, use in [(FACTS, "facts"), *((source, f"pictures/{style}") for style, source in STYLES.items())]
    ]
    notes = "Pictures are renderings of the drawings; texts are sentences made of the facts."
    return "# Where this comes from\n\n" + "\n".join(rows) + f"\n\n{notes}\n"


def main() -> int:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description="Make the flags knowledge base.")
    parser.add_argument("--out", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help="default: %(default)s")
    args = parser.parse_args()
    try:
        known = build(args.out)
    except CaMMLError as error:
        print(f"build: error: {error}", file=sys.stderr)
        return 2
    count = sum(1 for _ in (args.out / "pictures").rglob("*.png"))
    print(f"{count} pictures of {len(known)} flags in {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
