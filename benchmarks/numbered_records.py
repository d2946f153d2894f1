"""Write records that a number or a code alone tells apart, as notes for `text_retrieval.py` and `plain_notes.py`.

    python benchmarks/numbered_records.py 40 records_40.toml
    python benchmarks/text_retrieval.py records_40.toml --shares 0.5 --named 0 0.2
    python benchmarks/plain_notes.py models/camml-mini --notes records_40.toml

A collection of pumps, orders, articles, rooms, faults, parcels, chapters and lots, in equal parts. Up to 160 of them
are asked about, each by its number; 40 questions are about numbers that none has. The same count gives the same file.
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

ASKED, UNKNOWN = 160, 40
SEED = 11
PLACES = ("hall A", "hall B", "the boiler room", "the yard", "workshop 3", "the cellar", "dock 2")
FIRMS = ("Meyer", "Osman", "Lindt", "Tanaka", "Okoro", "Silva")

Record = tuple[str, str, list[str]]
"""A text, a question about it, and the ways to answer it rightly."""


def pump(number: str, draw: random.Random) -> Record:
    """Return a pump of a plant, called by its number."""
    part = str(draw.randint(1000, 9999))
    text = f"Pump {number} stands in {draw.choice(PLACES)}. Made in {draw.randint(1980, 2022)}, it needs seal {part}."
    return text, f"Which seal does pump {number} need?", [part]


def order(number: str, draw: random.Random) -> Record:
    """Return a firm's order, called by a code."""
    place = draw.choice(PLACES)
    text = f"Order K-{number}: {draw.randint(2, 90)} valves for {draw.choice(FIRMS)}, to be brought to {place}."
    return text, f"Where is order K-{number} to be brought?", sorted({place, place.removeprefix("the ")})


def article(number: str, draw: random.Random) -> Record:
    """Return an article of a price list, called by a code alone."""
    price = f"{draw.randint(2, 400)}.{draw.randint(10, 99)}"
    text = (
        f"{number}X\nBall bearing, {draw.choice(['steel', 'ceramic'])}, {draw.randint(5, 90)} mm\nPrice: {price} euros"
    )
    return text, f"How much is {number}X?", [f"{price} euros", price]


def hall(number: str, draw: random.Random) -> Record:
    """Return a seminar room, called by its number."""
    seats = str(draw.randint(10, 300))
    text = f"Room {number} seats {seats} and has {draw.choice(['a projector', 'a whiteboard', 'no screen'])}."
    return text, f"How many people can sit in room {number}?", [seats]


def fault(number: str, draw: random.Random) -> Record:
    """Return a fault of a machine, called by a code."""
    sign, part = draw.choice(["red", "green", "yellow"]), draw.choice(["fuse", "belt", "filter", "sensor", "valve"])
    text = (
        f"E{number}: the {sign} lamp blinks. Replace the {part}, then hold the button for {draw.randint(3, 9)} seconds."
    )
    return text, f"The display says E{number}. What must I replace?", [part, f"the {part}"]


def parcel(number: str, draw: random.Random) -> Record:
    """Return a parcel, called by its number."""
    day = f"{draw.randint(1, 28)} {draw.choice(['March', 'April', 'May'])}"
    text = f"Parcel {number}, {draw.randint(1, 30)} kg, from {draw.choice(FIRMS)}, came on {day}."
    return text, f"When did parcel {number} come?", [day]


def chapter(number: str, draw: random.Random) -> Record:
    """Return an entry of a table of contents, called by its number."""
    subject = draw.choice(["bridges", "glaciers", "harbours", "looms", "mills", "orchards", "tunnels", "wells"])
    text = f"Chapter {number} is about {subject} and has {draw.randint(9, 60)} pages."
    return text, f"What is chapter {number} about?", [subject]


def lot(number: str, draw: random.Random) -> Record:
    """Return a lot of an auction, called by its number."""
    bid = str(draw.randint(20, 900))
    text = f"Lot {number}: {draw.choice(['a clock', 'a chest', 'two chairs', 'a lamp'])}, oak, lowest bid {bid} euros."
    return text, f"What is the lowest bid for lot {number}?", [f"{bid} euros", bid]


KINDS: Sequence[Callable[[str, random.Random], Record]] = (pump, order, article, hall, fault, parcel, chapter, lot)
LONG = (order, article, parcel)
"""Kinds whose numbers have four digits; the others are counted from 1."""


def notes(count: int) -> str:
    """Return a file of `count` records and the questions about them, as TOML."""
    draw = random.Random(SEED)
    codes = iter(draw.sample(range(1000, 10_000), count + UNKNOWN))
    every: list[Record] = []
    for place in range(count + UNKNOWN):
        kind = KINDS[place % len(KINDS)]
        every.append(kind(str(next(codes)) if kind in LONG else str(place // len(KINDS) + 1), draw))
    here, others = every[:count], every[count:]
    asked = set(draw.sample(range(count), min(count, ASKED)))
    parts = []
    for place, (text, question, right) in enumerate(here):
        questions = [(question, right)] if place in asked else []
        questions += [(other, []) for other, _ in [record[1:] for record in others[place::count]]]
        lines = ",\n".join(f"  {{ask = {json.dumps(ask)}, right = {json.dumps(ways)}}}" for ask, ways in questions)
        parts.append(f'[[note]]\nsplit = "test"\ntext = {json.dumps(text)}\nquestions = [\n{lines}\n]\n')
    return "\n".join(parts)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, help="records")
    parser.add_argument("out", type=Path, help="file to write, .toml")
    args = parser.parse_args()
    args.out.write_text(notes(args.count))


if __name__ == "__main__":
    main()
