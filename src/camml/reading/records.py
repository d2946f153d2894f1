"""Invented records: a thing with a name and some facts, and the text that tells them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from camml.factpix import invention
from camml.factpix.catalog import Fact
from camml.reading.layouts import LAYOUTS, PROSE, TextFact
from camml.reading.words import Kind, fields, kinds, parts, wordings

TOLD = (3, 7)
"""Facts that a record tells, at least and at most."""

TOLD_BRIEFLY = (2, 5)
"""The same for records that have to be short."""

LONG = 0.5
"""Share of the records that tell much beside the point too."""

ASIDE, ASIDE_BRIEFLY = (2, 9), (1, 2)
"""Sentences beside the point, at least and at most; of records that have to be short."""

RIVAL = 0.3
"""Share of the sentences beside the point that tell of another thing what could be asked of this one: a reader must not
take that for an answer.
"""

TITLES = ("{noun} {name}", "{name} ({noun})", "{name}, {noun}", "{noun}: {name}", "{name}")
"""Titles of records that are no sentences."""

OWN_PATTERN = 0.3
"""Share of codes that look as the field's usually do; others have a form of their own, as those of strangers do."""

OWN_SENTENCE = 0.6
"""Share of facts told in a sentence of the field's own; the others are told in one that names the field."""


@dataclass(frozen=True, slots=True)
class Record:
    """A thing of which a text tells some facts.

    Attributes:
      nouns: what the text, and a question, calls each field of the kind.
    """

    kind: Kind
    name: str
    facts: Mapping[str, Fact]
    nouns: Mapping[str, str]
    text: str
    layout: str

    @property
    def untold(self) -> list[str]:
        """The fields of the kind that the text does not tell."""
        return [name for name in self.kind.fields if name not in self.facts]


def invent(rng: Random, kind: Kind | None = None, *, brief: bool = False) -> Record:
    """Return a new record, of one kind or of any; a `brief` one tells less, and less beside the point."""
    kind = kind or rng.choice(list(kinds().values()))
    told = rng.sample(kind.fields, rng.randint(*(TOLD_BRIEFLY if brief else TOLD)))
    facts = {name: _value(fields()[name].make, rng) for name in told}
    nouns = {name: rng.choice(fields()[name].nouns) for name in kind.fields}
    name = _name(kind, rng)
    layout = rng.choice(sorted(LAYOUTS))
    told_facts = [
        TextFact(nouns[field], fact.in_text, _sentence(field, nouns[field], fact, rng)) for field, fact in facts.items()
    ]
    title = "{noun} {name}" if layout in PROSE else rng.choice(TITLES)
    block = LAYOUTS[layout](title.format(noun=kind.noun, name=name), told_facts, rng)
    text = _around(block, kind, ASIDE_BRIEFLY if brief else ASIDE, rng)
    return Record(kind, name, facts, nouns, text, layout)


def _value(make: Mapping[str, Any], rng: Random) -> Fact:
    """Return a value of a field."""
    if make["type"] != "code" or rng.random() < OWN_PATTERN:
        return invention.invent(make, parts(), rng)
    joint = rng.choice(wordings("joints"))
    groups = [rng.choice("@#") * rng.randint(1, 4) for _ in range(rng.randint(2, 3))]
    return Fact((invention.code(joint.join(groups), parts(), rng),))


def other_name(kind: Kind, taken: Sequence[str], rng: Random) -> str:
    """Return the name of a thing that no record tells of."""
    while (name := _name(kind, rng)) in taken:
        pass
    return name


def _name(kind: Kind, rng: Random) -> str:
    makers: Mapping[str, Callable[[], str]] = {
        "name": lambda: f"{invention.name(parts(), rng)} {invention.name(parts(), rng)}",
        "place": lambda: (
            f"{invention.name(parts(), rng)} {rng.choice(('Lane', 'Row', 'Square', 'Yard'))} {rng.randint(1, 99)}"
        ),
        "number": lambda: f"{rng.choice(parts().letters)}{rng.randint(10, 999)}",
        "model": lambda: f"{invention.name(parts(), rng)} {rng.choice(parts().letters)}{rng.randint(2, 99)}",
    }
    return makers[kind.named]()


def _sentence(field: str, noun: str, fact: Fact, rng: Random) -> str:
    """Return a sentence that tells a fact."""
    own = rng.random() < OWN_SENTENCE
    pattern = rng.choice(fields()[field].tell if own else wordings("tell"))
    told = pattern.replace("{l}", noun).replace("{v}", fact.in_text)
    return told[0].upper() + told[1:]


def _around(block: str, kind: Kind, aside: tuple[int, int], rng: Random) -> str:
    """Return the text with sentences beside the point before and behind it, or as it is."""
    if rng.random() >= LONG:
        return block
    count = rng.randint(*aside)
    spare = [
        _rival(kind, rng) if rng.random() < RIVAL else _aside(pattern, rng)
        for pattern in rng.sample(wordings("aside"), count)
    ]
    cut = rng.randint(0, count)
    pieces = [" ".join(spare[:cut]), block, " ".join(spare[cut:])]
    return "\n\n".join(filter(None, pieces))


def _rival(kind: Kind, rng: Random) -> str:
    """Return a sentence that tells a value of another thing of the same kind."""
    field = rng.choice(kind.fields)
    value = _value(fields()[field].make, rng).in_text
    pattern = rng.choice(wordings("rival")).replace("{other}", other_name(kind, (), rng))
    told = pattern.replace("{l}", rng.choice(fields()[field].nouns)).replace("{v}", value)
    return told[0].upper() + told[1:]


def _aside(pattern: str, rng: Random) -> str:
    made: Mapping[str, Callable[[], str]] = {
        "{other}": lambda: other_name(rng.choice(list(kinds().values())), (), rng),
        "{person}": lambda: invention.person(parts(), rng),
        "{place}": lambda: invention.place(parts(), rng),
        "{number}": lambda: str(rng.randint(3, 80)),
        "{year}": lambda: str(rng.randint(1900, 2022)),
    }
    for slot, make in made.items():
        if slot in pattern:
            pattern = pattern.replace(slot, make())
    return pattern
