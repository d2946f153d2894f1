"""How often words find the right text: whole texts compared, and passage by passage; no model answers.

    python benchmarks/text_retrieval.py benchmarks/strangers_notes*.toml
    python benchmarks/text_retrieval.py benchmarks/strangers_notes_4.toml --shares 0 0.3 0.5 1
    python benchmarks/text_retrieval.py records_40.toml --shares 0.5 --named 0 0.2

One datastore for each file, asked all questions that one of its texts answers.
"""

import argparse
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from camml import Datastore, Query, Retriever, Sample, encoders, matching

AMONG = 3


def count_right(file: Path, share: float, named: float) -> tuple[int, int, int]:
    """Return how often the right text comes first, how often among `AMONG`, and how many questions there are.

    Args:
      share: of the nearest passage in the likeness of a text; 0 compares vectors of whole texts and nothing else.
      named: what the numbers and codes of the question add to the likeness of a text that holds them.
    """
    matching.IDENTIFIER_BONUS = named
    notes = tomllib.loads(file.read_text("utf-8"))["note"]
    samples = [Sample(str(number), note["text"].strip()) for number, note in enumerate(notes)]
    asked = [
        (str(number), Query(question["ask"]))
        for number, note in enumerate(notes)
        for question in note["questions"]
        if question["right"]
    ]
    encoder = encoders.load("mini", passage_share=share)
    with tempfile.TemporaryDirectory() as folder:
        store = Datastore.build(Path(folder) / "store", samples, encoder)
        contexts = Retriever(store, encoder).retrieve([query for _, query in asked], AMONG)
    places = [
        [neighbor.sample.id for neighbor in context].index(name) if name in {n.sample.id for n in context} else AMONG
        for (name, _), context in zip(asked, contexts, strict=True)
    ]
    return sum(place == 0 for place in places), sum(place < AMONG for place in places), len(places)


def main(arguments: Sequence[str] | None = None) -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="files of notes such as strangers_notes.toml")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.5], help="of the nearest passage (0 0.5)")
    parser.add_argument(
        "--named", type=float, nargs="+", default=[matching.IDENTIFIER_BONUS], help="of numbers and codes (0.2)"
    )
    args = parser.parse_args(arguments)
    ways = [(share, named) for share in args.shares for named in args.named]
    titles = [f"share {share:g}, named {named:g}" for share, named in ways]
    print(f"| right text first, among {AMONG} | " + " | ".join(titles) + " |")
    print("|---|" + "---|" * len(ways))
    for file in args.files:
        counts = [count_right(file, *way) for way in ways]
        print(
            f"| {file.stem}, of {counts[0][2]} | "
            + " | ".join(f"{first}, {among}" for first, among, _ in counts)
            + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
