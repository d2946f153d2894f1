"""How often the right sample is found by a changed picture, with and without another look at it, turned.

    camml bench-data build --set ownpix --out data/ownpix
    camml store build data/ownpix/samples.json --out stores/ownpix --model models/camml-mini
    python benchmarks/changed_pictures.py --store stores/ownpix                       # OwnPix's validation things
    python benchmarks/changed_pictures.py --store stores/ownpix --data data/ownpix --questions short long

Without --questions each of OwnPix's validation things is asked about with eight pictures, two of each change. With it,
each picture of these files of --data is asked about once. A sample of the same thing is right.
"""

import argparse
import io
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import _measure
import numpy as np
from PIL import Image

from camml import turning
from camml.datastore import open_store
from camml.durable import write_file
from camml.ownpix import benchmark, cutouts
from camml.ownpix.pictures import CHANGES, ThingPicture
from camml.retriever import Retriever
from camml.types import Query

SEEDS = ("1", "2")
"""Those of the pictures for validation; no file of OwnPix has them."""
K = 3


@dataclass(frozen=True)
class Asked:
    """A picture, the thing it shows, and how it was changed."""

    picture: Path | Image.Image
    thing: tuple[str, str]
    change: str


def main() -> None:
    """Ask with the looks that the arguments name, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="the datastore to search")
    parser.add_argument("--data", type=Path, help="the folder of the questions")
    parser.add_argument("--questions", nargs="+", help="names of files there, such as short or heldout")
    parser.add_argument("--limit", type=int, help="pictures, spread over all (default: all)")
    parser.add_argument("--again", type=float, nargs="+", default=[0.0, turning.UNDECIDED], metavar="X",
                        help="look again where likeness differs by less; 0: never (%(default)s)")  # fmt: skip
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers")
    args = parser.parse_args()
    asked = list(of_questions(args.data, args.questions) if args.questions else of_validation())
    if args.limit and args.limit < len(asked):
        asked = [asked[place * len(asked) // args.limit] for place in range(args.limit)]
    rows = [measured(args.store, asked, again) for again in args.again]
    print(table(rows))
    if args.out:
        document = {
            "date": date.today().isoformat(),
            "machine": _measure.processor(),
            "pictures": len(asked),
            "rows": rows,
        }
        write_file(args.out, json.dumps(document, indent=1).encode() + b"\n")


def of_validation() -> Iterator[Asked]:
    """Yield two pictures of each change of each of OwnPix's validation things."""
    drawn = [cutout for topic in cutouts.TOPICS for cutout in cutouts.cutouts(topic)]
    scenes = tuple(cutouts.scenes(benchmark.WESNOTH.fetch()))
    for thing in benchmark.invent(drawn, benchmark.SIZES["full"], 0):
        for seed in SEEDS if thing.split == benchmark.VALIDATION else ():
            for change in CHANGES:
                png = ThingPicture(thing.cutout.file, change, f"{seed}|{thing.cutout.key}", scenes).png()
                yield Asked(Image.open(io.BytesIO(png)), (thing.kind.name, thing.cutout.key), change)


def of_questions(folder: Path, names: list[str]) -> Iterator[Asked]:
    """Yield each picture of some files of questions once."""
    seen = set[str]()
    for name in names:
        for row in json.loads((folder / f"{name}.json").read_text("utf-8")):
            if row["image"] not in seen:
                seen.add(row["image"])
                meta = row["meta"]
                yield Asked(folder / row["image"], (meta["topic"], meta["class"]), meta["style"])


def measured(store: str, asked: list[Asked], again: float) -> dict[str, Any]:
    """Return the percentage of pictures for which the right sample comes first, and among three, by change, too."""
    turning.UNDECIDED = again
    datastore, encoder = open_store(store)
    counting = Counting(encoder)
    retriever = Retriever(datastore, counting, "image-image")
    began, hits = time.perf_counter(), defaultdict[str, list[tuple[bool, bool]]](list)
    for entry in asked:
        [context] = retriever.retrieve([Query("", entry.picture)], K)
        right = [thing_of(neighbor.sample.meta) == entry.thing for neighbor in context]
        for name in ("all", entry.change):
            hits[name].append((right[:1] == [True], any(right)))
    figures = {name: [round(100 * float(value), 1) for value in np.mean(its, axis=0)] for name, its in hits.items()}
    seconds = time.perf_counter() - began
    return {"again": again, **figures, "looks": round(counting.images / len(asked), 2), "seconds": round(seconds, 1)}


def thing_of(meta: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a sample of FactPix or OwnPix shows, as its metadata tell."""
    told = meta.get("meta", meta)
    return told["topic"], told["class"]


class Counting:
    """An encoder that counts the pictures that go through it."""

    def __init__(self, encoder: Any) -> None:
        self._encoder, self.images = encoder, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def embed_with_patches(self, images: list[Image.Image]) -> Any:
        """Embed as the encoder does."""
        self.images += len(images)
        return self._encoder.embed_with_patches(images)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the numbers as a table in Markdown: first, and among three."""
    kinds = [name for name in rows[0] if name not in ("again", "looks", "seconds")]
    lines = [f"| look again below | {' | '.join(kinds)} | looks a picture |", "|---" * (len(kinds) + 2) + "|"]
    for row in rows:
        cells = " | ".join(", ".join(map(str, row[name])) for name in kinds)
        lines.append(f"| {row['again']:g} | {cells} | {row['looks']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
