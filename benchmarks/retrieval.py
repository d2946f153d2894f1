"""What is found first, by a picture, by words and by both: the mode `auto` beside the others.

    camml bench-data build --out data/factpix
    python examples/flags/build.py --out data/flags
    python benchmarks/retrieval.py                          # CaMML mini's maps, as the demo uses them
    python benchmarks/retrieval.py --without-maps

Three sets: a part of FactPix's validation split, of whose classes one in three is stored without pictures; notes of all
kinds added to the store of flags, half of them without pictures; and the demo's 25 questions. Each row of the table is
a kind of query, each column a way of retrieval: the percentage of queries for which a right sample is found first, and
among the first three. `before` is what `auto` was: the picture alone where there is one, else words among pictures if
one space holds both, else words among texts. The last line is the example of docs/serving.md. Embedding the 1,300
pictures takes about 4 minutes of one core; vectors are kept in --work, so that a second run embeds nothing.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import _measure
import _retrieval_sets as sets
import numpy as np
from PIL import Image

from camml import encoders
from camml.datastore import Datastore
from camml.durable import write_file
from camml.encoders import Vectors
from camml.errors import OptionError
from camml.retriever import Retriever
from camml.types import Context

ROOT = Path(__file__).parents[1]
HEADS = ROOT / "models" / "camml-mini" / "heads.safetensors"
WAYS = ("auto", "before", "image-image", "text-image", "text-text", "fused")
K = 3


class Remembering:
    """An encoder whose vectors are kept in a file, so that a second run embeds nothing."""

    def __init__(self, encoder: Any, folder: Path) -> None:
        self._encoder = encoder
        self.name, self.revision, self.joint = encoder.name, encoder.revision, encoder.joint
        self.image_dim, self.text_dim = encoder.image_dim, encoder.text_dim
        self._file = folder / f"{encoder.name}-{encoder.revision}.npz"
        self._known: dict[str, Vectors] = dict(np.load(self._file)) if self._file.exists() else {}

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """The vectors of texts."""
        keys = [sha256(text.encode()).hexdigest() for text in texts]
        return self._remembered(keys, texts, self._encoder.embed_texts, self.text_dim)

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """The vectors of pictures."""
        keys = [sha256(str(image.size).encode() + image.tobytes()).hexdigest() for image in images]
        return self._remembered(keys, images, self._encoder.embed_images, self.image_dim)

    def among_images(self, texts: Vectors) -> Vectors:
        """Texts where they compare with pictures."""
        return encoders.among_images(self._encoder, texts)

    def save(self) -> None:
        """Keep what is known."""
        np.savez(self._file, **self._known)  # type: ignore[arg-type]

    def _remembered(
        self, keys: Sequence[str], items: Sequence[Any], embed: Callable[[list[Any]], Vectors], dim: int
    ) -> Vectors:
        new = {key: item for key, item in zip(keys, items, strict=True) if key not in self._known}
        self._known |= dict(zip(new, embed(list(new.values())), strict=True)) if new else {}
        return np.stack([self._known[key] for key in keys]) if keys else np.empty((0, dim), np.float32)


def main() -> None:
    """Embed, ask in every way, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factpix", type=Path, default=ROOT / "data" / "factpix", help="(%(default)s)")
    parser.add_argument("--flags", type=Path, default=ROOT / "data" / "flags", help="(%(default)s)")
    parser.add_argument("--classes", type=int, default=40, help="validation classes of a topic (%(default)s)")
    parser.add_argument("--others", type=int, default=400, help="samples of other classes (%(default)s)")
    parser.add_argument("--without-maps", action="store_true", help="the encoder `mini` as it is")
    parser.add_argument("--work", type=Path, default=ROOT / "data" / "retrieval", help="for vectors (%(default)s)")
    parser.add_argument("--out", type=Path, help="JSON (benchmarks/results/retrieval_….json)")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    options = {} if args.without_maps else {"heads": str(HEADS)}
    encoder = Remembering(encoders.load("mini", **options), args.work)
    pictures = sets.things(args.factpix, len(sets.THINGS) * len(sets.EVENTS) // 2)
    chosen = [sets.facts(args.factpix, args.classes, args.others), sets.notes(args.flags, pictures), demo(args.flags)]
    rows = [row for tested in chosen for row in measure(tested, encoder, args.work)]
    example = rank_of_example(args.flags, pictures[0][0], encoder, args.work)
    encoder.save()
    name = "mini" if args.without_maps else "mini_maps"
    out = args.out or ROOT / "benchmarks" / "results" / f"retrieval_{name}.json"
    document = {"encoder": name, "rows": rows, "example": example, "sizes": {o.name: len(o.samples) for o in chosen}}
    document |= _measure.circumstances(_measure.pick_device())
    write_file(out, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    print(table(rows))
    print("\n“Pump 9 was scrapped in May.” among the flags is found as number " + json.dumps(example))


def demo(flags: Path) -> sets.Set:
    """The questions that the demo asks."""
    sys.path.insert(0, str(ROOT / "examples" / "flags"))  # the demo's modules stand alone
    import countries
    import questions

    asked = questions.choose(countries.read(flags / "countries.json"), 25)
    return sets.demo(flags, [(question.text, question.country.code) for question in asked])


def store_of(tested: sets.Set, encoder: Remembering, work: Path) -> Datastore:
    """A new datastore of a set."""
    folder = Path(tempfile.mkdtemp(dir=work)) / "store"
    return Datastore.build(folder, tested.samples, encoder, batch_size=32)


def measure(tested: sets.Set, encoder: Remembering, work: Path) -> list[dict[str, Any]]:
    """The rows of a set: percentages by way."""
    datastore = store_of(tested, encoder, work)
    rows = []
    for kind, asked in tested.rows.items():
        contexts = {way: retrieved(way, datastore, encoder, asked) for way in WAYS}
        row: dict[str, Any] = {"set": tested.name, "kind": kind, "queries": len(asked)}
        for way, context in contexts.items():
            row[way] = None if context is None else [hits(asked, context, k) for k in (1, K)]
        before, now = contexts["before"], contexts["auto"]
        if before and now:
            row["same"] = [sum(ids(x)[:k] == ids(y)[:k] for x, y in zip(before, now, strict=True)) for k in (1, K)]
        rows.append(row)
    return rows


def retrieved(
    way: str, datastore: Datastore, encoder: Remembering, asked: Sequence[sets.Asked], k: int = K
) -> list[Context] | None:
    """What is found in a way; nothing where it does not serve these queries."""
    mode = way
    if way == "before":
        mode = "image-image" if asked[0].query.image else "text-image" if encoder.joint else "text-text"
    try:
        return Retriever(datastore, encoder, mode).retrieve([question.query for question in asked], k)
    except OptionError:
        return None


def hits(asked: Sequence[sets.Asked], contexts: Sequence[Context], k: int) -> float:
    """The percentage of queries with a right sample among the first k."""
    right = [
        any(n.sample.id in question.right for n in context[:k])
        for question, context in zip(asked, contexts, strict=True)
    ]
    return round(100 * sum(right) / len(right), 1)


def ids(context: Context) -> list[str]:
    """What was found, in order."""
    return [neighbor.sample.id for neighbor in context]


def rank_of_example(flags: Path, picture: Path, encoder: Remembering, work: Path) -> dict[str, int]:
    """The place of the sample of docs/serving.md, from 1, by way."""
    sample, query = sets.note(picture)
    example = sets.Set("example", [*sets.demo(flags, []).samples, sample])
    example.ask("words only", query, [sample.id])
    datastore, places = store_of(example, encoder, work), {}
    for way in WAYS:
        if result := retrieved(way, datastore, encoder, example.rows["words only"], len(example.samples)):
            places[way] = ids(result[0]).index(sample.id) + 1
    return places


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| set | query | n | " + " | ".join(WAYS) + " |", "|---|---|---|" + "---|" * len(WAYS)]
    for row in rows:
        cells = ["–" if row[way] is None else " / ".join(f"{x:.0f}" for x in row[way]) for way in WAYS]
        lines.append(f"| {row['set']} | {row['kind']} | {row['queries']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
