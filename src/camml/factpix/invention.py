"""Values that nobody can know: names made of syllables, codes, dates, numbers with units; from lists that are given.

Two data sets that are given lists without anything in common share no name and no code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from camml.factpix.catalog import Fact

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
DAYS = 28
"""Every month has as many."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of names and codes: syllables, first names, endings of places and firms, letters of codes."""

    syllables: Sequence[str]
    firsts: Sequence[str]
    place_ends: Sequence[str]
    firm_ends: Sequence[str]
    letters: str

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "Parts":
        """Return the parts in a table of a word file."""
        return cls(table["syllables"], table["firsts"], table["place_ends"], table["firm_ends"], table["letters"])


def invent(make: Mapping[str, Any], parts: Parts, rng: Random) -> Fact:
    """Return a new value of the type `make["type"]`: number, date, code, choice, name, person, place or firm."""
    kind = make["type"]
    if kind == "number":
        return _number(make, rng)
    if kind == "date":
        return _date(rng.randint(make["low"], make["high"]), rng)
    if kind == "code":
        return Fact((code(make["pattern"], parts, rng),))
    if kind == "choice":
        return Fact((rng.choice(make["options"]),))
    return Fact(({"name": name, "person": person, "place": place, "firm": firm}[kind](parts, rng),))


def name(parts: Parts, rng: Random) -> str:
    """Return a name of two syllables."""
    return "".join(rng.sample(parts.syllables, 2)).capitalize()


def person(parts: Parts, rng: Random) -> str:
    """Return a first name and a family name."""
    return f"{rng.choice(parts.firsts)} {name(parts, rng)}"


def place(parts: Parts, rng: Random) -> str:
    """Return the name of a town."""
    return rng.choice(parts.syllables).capitalize() + rng.choice(parts.place_ends)


def firm(parts: Parts, rng: Random) -> str:
    """Return the name of a firm."""
    return f"{name(parts, rng)} {rng.choice(parts.firm_ends)}"


def code(pattern: str, parts: Parts, rng: Random) -> str:
    """Return `pattern` with a letter for each "@" and a digit for each "#"."""
    drawn = {"@": lambda: rng.choice(parts.letters), "#": lambda: str(rng.randrange(10))}
    return "".join(drawn[sign]() if sign in drawn else sign for sign in pattern)


def day(year: int, rng: Random) -> str:
    """Return a date of the year as a text would have it."""
    return _date(year, rng).answer


def _number(make: Mapping[str, Any], rng: Random) -> Fact:
    """Return a number with its unit; right without it too, and with the unit in other spellings."""
    step = 10 ** make["decimals"]
    number = f"{rng.randint(make['low'] * step, make['high'] * step) / step:.{make['decimals']}f}"
    short = number.rstrip("0").rstrip(".") if "." in number else number
    units = (make["unit"], *make["spelled"])
    accept = [text for bare in dict.fromkeys((number, short)) for text in (bare, *(f"{bare} {unit}" for unit in units))]
    shown = f"{number} {make['unit']}"
    return Fact((shown,), (*(text for text in accept if text != shown), f"{number}{make['unit']}"))


def _date(year: int, rng: Random) -> Fact:
    """Return a day, written in one of three ways; the other two are right too."""
    month, number = rng.randrange(12), rng.randint(1, DAYS)
    ways = [
        f"{number} {MONTHS[month]} {year}",
        f"{MONTHS[month]} {number}, {year}",
        f"{year}-{month + 1:02}-{number:02}",
    ]
    shown = rng.choice(ways)
    return Fact((shown,), tuple(way for way in ways if way != shown))
