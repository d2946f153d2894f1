"""What is found: by a picture, by words, by both; with and without the maps that let words find pictures.

    python examples/flags/demo.py                                  # fetches the flags
    camml bench-data build --set ownpix --out data/ownpix          # a domain that no training touched
    python benchmarks/retrieval.py                                 # flags and notes
    python benchmarks/retrieval.py --ownpix data/ownpix --factpix data/factpix --limit 150

Notes are invented sentences about machines ("Pump 9 was scrapped in May."), half of them with a picture, added to the
store of flags; they are asked for in words alone. FactPix's validation classes are asked for with picture and words,
beside other samples drawn by chance. Prints hit@1 and hit@3 in percent, and writes
`benchmarks/results/retrieval.json`.
"""

import argparse
import json
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image

from camml import encoders, formats
from camml.datastore import Datastore
from camml.retriever import Retriever
from camml.types import Query, Sample

ROOT = Path(__file__).parents[1]
HEADS = ROOT / "models" / "camml-mini" / "heads.safetensors"
MODES = ("image-image", "text-image", "text-text", "fused", "auto")
THINGS = ("Pump", "Crane", "Boiler", "Tractor", "Lathe", "Printer", "Lift", "Oven", "Drill", "Turbine")
FACTS = (
    ("was scrapped in {month}.", "What happened to {thing} {number}?"),
    ("is in the care of {person}.", "Who looks after {thing} {number}?"),
    ("needs a new seal, code {code}.", "Which code has the seal of {thing} {number}?"),
    ("was bought for {euros} euros.", "What did {thing} {number} cost?"),
    ("stands in hall {hall}.", "Where does {thing} {number} stand?"),
    ("was repaired by {person} in {month}.", "Who repaired {thing} {number}?"),
)


@dataclass
class Asked:
    """Questions of one kind.

    Attributes:
      rows: each with the ids of the samples that are right.
    """

    name: str
    rows: list[tuple[Query, frozenset[str]]] = field(default_factory=list)


def notes(count: int) -> list[tuple[str, str]]:
    """Return invented notes about different machines, each with a question about it."""
    chance, made = random.Random(0), []
    for number in random.Random(1).sample(range(2, 99), count):
        thing, (fact, question) = chance.choice(THINGS), chance.choice(FACTS)
        words = {
            "thing": thing.lower(), "number": number, "month": chance.choice(("March", "May", "June")),
            "person": chance.choice(("Vera Moss", "Ilan Brook", "Tom Aster")), "code": chance.randint(1000, 9999),
            "euros": chance.randint(20, 900), "hall": chance.randint(1, 9),
        }  # fmt: skip
        made.append((f"{thing} {number} {fact.format(**words)}", question.format(**words)))
    return made


def flags(folder: Path, work: Path) -> tuple[list[Sample], list[Asked]]:
    """Return flags in two styles with notes beside them, and what is asked about both."""
    samples, chance = list(formats.read(folder / "samples.json")), random.Random(2)
    by_country: dict[str, set[str]] = {}
    for sample in samples:
        by_country.setdefault(sample.id.split("-", 1)[1], set()).add(sample.id)
    names = {sample.id.split("-", 1)[1]: str(sample.meta["country"]) for sample in samples}
    fields = ("capital", "currency", "language", "region")
    both, seen, said = Asked("flag: picture and words"), Asked("flag: picture"), Asked("flag: words")
    for code, ids in sorted(by_country.items()):
        picture = next(iter(folder.rglob(f"flag/{code}.png")), None)
        if picture is None:
            continue
        name, right = chance.choice(fields), frozenset(ids)
        both.rows.append((Query(f"What is the {name} of this country?", picture), right))
        seen.rows.append((Query("", picture), right))
        said.rows.append((Query(f"What is the {name} of {names[code]}?"), right))
    pictured, plain = Asked("note with a picture: words"), Asked("note without one: words")
    for number, (text, question) in enumerate(notes(60)):
        file = None
        if number % 2:
            file = work / f"note{number}.png"
            Image.new("RGB", (64, 64), tuple(chance.randrange(256) for _ in range(3))).save(file)
        samples.append(Sample(f"note{number}", text, file))
        (pictured if file else plain).rows.append((Query(question), frozenset({f"note{number}"})))
    return samples, [both, seen, said, pictured, plain]


def conversations(file: Path, folder: Path, samples: Sequence[Sample], name: str, limit: int) -> Asked:
    """Return questions of a benchmark's file with a picture and words; right is every sample of the same thing."""
    by_class: dict[str, set[str]] = {}
    for sample in samples:
        by_class.setdefault(sample.meta["meta"].get("class", ""), set()).add(sample.id)
    rows = json.loads(file.read_text("utf-8"))
    random.Random(3).shuffle(rows)
    asked = Asked(name)
    for row in rows[:limit]:
        text = row["conversations"][0]["value"].replace("<image>", "").strip()
        right = frozenset(by_class.get(row["meta"]["class"], ()))
        if right:
            asked.rows.append((Query(text, folder / row["image"]), right))
    return asked


def hits(datastore: Datastore, encoder: Any, mode: str, asked: Asked) -> tuple[float, float] | None:
    """Return hit@1 and hit@3 in percent; None where the mode cannot serve these questions."""
    retriever = Retriever(datastore, encoder)
    if mode not in retriever.modes():
        return None
    contexts = Retriever(datastore, encoder, mode).retrieve_some([query for query, _ in asked.rows], 3)
    if not any(contexts):
        return None
    right = [
        [neighbor.sample.id in ids for neighbor in context]
        for context, (_, ids) in zip(contexts, asked.rows, strict=True)
    ]
    return (
        100 * sum(row[:1] == [True] for row in right) / len(right),
        100 * sum(any(row) for row in right) / len(right),
    )


def measure(
    name: str, samples: Iterable[Sample], sets: Sequence[Asked], work: Path, dtype: str
) -> list[dict[str, Any]]:
    """Return a line for each encoder, set of questions and mode."""
    samples, lines = list(samples), []
    for label, options in (("plain", {}), ("maps", {"heads": str(HEADS)})):
        encoder = encoders.load("mini", dtype=dtype, **options)
        started = time.perf_counter()
        datastore = Datastore.build(work / f"{name}-{label}", samples, encoder)
        print(f"{name}: {len(samples)} samples, {label}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
        for asked in sets:
            for mode in MODES:
                if (found := hits(datastore, encoder, mode, asked)) is not None:
                    lines.append(
                        {"set": asked.name, "questions": len(asked.rows), "encoder": label, "mode": mode,
                         "hit1": round(found[0], 1), "hit3": round(found[1], 1)}
                    )  # fmt: skip
    return lines


def factpix_part(folder: Path, limit: int, others: int) -> tuple[list[Sample], list[Asked]]:
    """Return the samples of as many validation questions, other ones drawn by chance, and the questions."""
    samples = list(formats.read(folder / "samples.json", mend_ids=True))
    asked = conversations(folder / "validation.json", folder, samples, "FactPix validation: picture and words", limit)
    needed = {name for _, ids in asked.rows for name in ids}
    rest = [sample for sample in samples if sample.id not in needed]
    random.Random(4).shuffle(rest)
    return [sample for sample in samples if sample.id in needed] + rest[:others], [asked]


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flags", type=Path, default=ROOT / "data" / "flags", help="of the demo (%(default)s)")
    parser.add_argument("--ownpix", type=Path, help="a folder of `camml bench-data build --set ownpix`")
    parser.add_argument("--factpix", type=Path, help="a folder of `camml bench-data build`")
    parser.add_argument("--limit", type=int, default=250, help="questions of each benchmark (%(default)s)")
    parser.add_argument("--others", type=int, default=600, help="samples of FactPix drawn beside them (%(default)s)")
    parser.add_argument("--dtype", default="float32", help="of the encoders (%(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "retrieval.json")
    args = parser.parse_args()
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        lines += measure("flags", *flags(args.flags, work), work, args.dtype)
        if args.ownpix:
            samples = list(formats.read(args.ownpix / "samples.json"))
            asked = conversations(
                args.ownpix / "validation.json",
                args.ownpix,
                samples,
                "ownpix validation: picture and words",
                args.limit,
            )
            lines += measure("ownpix", samples, [asked], work, args.dtype)
        if args.factpix:
            lines += measure("factpix", *factpix_part(args.factpix, args.limit, args.others), work, args.dtype)
    document = {"machine": platform.machine(), "date": date.today().isoformat(), "dtype": args.dtype, "lines": lines}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    for line in lines:
        print(f"{line['set']:40} {line['questions']:5} {line['encoder']:6} {line['mode']:12} "
              f"{line['hit1']:6.1f} {line['hit3']:6.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
