"""Texts about a thing: short data sheets, and long ones in which the facts come behind much else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from camml.factpix import invention
from camml.factpix.catalog import Fact
from camml.ownpix.kinds import NAME, NAMED, Kind, asides, parts

SHORT, LONG = "short", "long"
WORDS = {SHORT: (15, 30), LONG: (100, 300)}
"""Words of a text at least and at most."""

TOLD = {SHORT: (3, 4), LONG: (5, 7)}
"""Facts beside the name that a text tells."""

LAYOUTS = {SHORT: ("sentences", "lines", "row"), LONG: ("sentences", "lines", "list", "table", "note")}
ATTEMPTS = 100
CLOSING = 0.3
"""Share of long texts in which something comes behind the facts too."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text, how its facts are laid out, and the fields that it tells."""

    text: str
    layout: str
    told: tuple[str, ...]


def write(kind: Kind, facts: Mapping[str, Fact], length: str, rng: Random) -> Text:
    """Return a text of the length `SHORT` or `LONG` that tells the name and some other facts."""
    low, high = WORDS[length]
    for _ in range(ATTEMPTS):
        others = [field for field in facts if field != NAME]
        told = [NAME, *rng.sample(others, rng.randint(*TOLD[length]))]
        layout = rng.choice(LAYOUTS[length])
        some = {field: facts[field] for field in told}
        text = _short(kind, some, layout, rng) if length == SHORT else _long(kind, some, layout, rng)
        if low <= len(text.split()) <= high:
            return Text(text, layout, tuple(told))
    raise AssertionError(f"no text of {low} to {high} words about {kind.name} in {ATTEMPTS} attempts")


def _short(kind: Kind, facts: Mapping[str, Fact], layout: str, rng: Random) -> str:
    called = rng.choice(kind.called)
    rest = {field: fact for field, fact in facts.items() if field != NAME}
    if layout == "sentences":
        return f"{_opening(facts, called, rng)} {kind.words.tell(rest, rng)}"
    told = _labelled(kind, rest)
    if layout == "row":
        return f"{facts[NAME].answer} ({called}) / " + " / ".join(told)
    return "\n".join([f"{facts[NAME].answer}, {called}", *told])


def _long(kind: Kind, facts: Mapping[str, Fact], layout: str, rng: Random) -> str:
    """Return paragraphs: an opening and much beside the point, the facts, sometimes more beside the point."""
    opening = _opening(facts, rng.choice(kind.called), rng)
    rest = {field: fact for field, fact in facts.items() if field != NAME}
    block = _block(kind, rest, layout, rng)
    wanted = rng.randint(WORDS[LONG][0] + 5, WORDS[LONG][1] - 30)
    before, words = [opening], len(f"{opening} {block}".split())
    spare = rng.sample(asides(), len(asides()))
    while words < wanted and spare:
        before.append(_aside(spare.pop(), rng))
        words += len(before[-1].split())
    after: list[str] = []
    if len(before) > 4 and rng.random() < CLOSING:
        cut = rng.randint(3, len(before) - 1)
        before, after = before[:cut], before[cut:]
    half = (len(before) + 1) // 2
    paragraphs = [before[:half], before[half:]] if len(before) > 6 else [before]
    return "\n\n".join([*map(" ".join, paragraphs), block, *([" ".join(after)] if after else [])])


def _opening(facts: Mapping[str, Fact], called: str, rng: Random) -> str:
    """Return the sentence with the name."""
    sentence: str = rng.choice(NAMED["tell"])
    return sentence.replace("{name}", facts[NAME].answer).replace("{called}", called)


def _block(kind: Kind, facts: Mapping[str, Fact], layout: str, rng: Random) -> str:
    """Return the facts in a layout."""
    if layout == "lines":
        return "\n".join(_labelled(kind, facts))
    if layout == "list":
        return "\n".join(f"- {told}" for told in _labelled(kind, facts))
    if layout == "table":
        rows = [f"| {kind.labels[field]} | {fact.in_text} |" for field, fact in facts.items()]
        return "\n".join(["| Item | Entry |", "|---|---|", *rows])
    told = kind.words.tell(facts, rng)
    if layout == "note":
        noted, by = invention.day(rng.randint(1990, 2026), rng), invention.person(parts(), rng)
        return f"Note of {noted}: {told} Signed, {by}"
    return told


def _labelled(kind: Kind, facts: Mapping[str, Fact]) -> list[str]:
    return [f"{kind.labels[field]}: {fact.in_text}" for field, fact in facts.items()]


def _aside(pattern: str, rng: Random) -> str:
    """Return a sentence beside the point, with names and numbers of other things."""
    known = parts()
    slots: Mapping[str, Callable[[], str]] = {
        "{other}": lambda: invention.name(known, rng),
        "{person}": lambda: invention.person(known, rng),
        "{place}": lambda: invention.place(known, rng),
        "{firm}": lambda: invention.firm(known, rng),
        "{number}": lambda: str(rng.randint(3, 90)),
        "{year}": lambda: str(rng.randint(1890, 2019)),
    }
    for slot, make in slots.items():
        if slot in pattern:
            pattern = pattern.replace(slot, make())
    return pattern
