"""The kinds of things in the collection, with the facts that are invented for them; read from `words/`."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from camml.factpix import invention
from camml.factpix.catalog import Fact
from camml.factpix.invention import Parts
from camml.factpix.wording import SEEN, Words

NAME = "name"
NAMED = {
    "ask": [
        *("What is {it} called?", "What is the name of {it}?", "Which name does {it} bear?"),
        *("How is {it} called in our records?", "Tell me what {it} is called.", "By which name do we know {it}?"),
    ],
    "tell": ["{name} is {called}.", "This is {name}, {called}.", "Here you see {name}, {called}."],
}
"""How every kind is asked for its name, which every text tells first."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing: what it is called, pictures it may have, words, labels on sheets, how values are made."""

    name: str
    called: Sequence[str]
    topics: Sequence[str]
    words: Words
    labels: Mapping[str, str]
    makes: Mapping[str, Mapping[str, Any]]

    def invent(self, name: str, rng: Random) -> dict[str, Fact]:
        """Return a value for the name, which is given, and for every other field."""
        return {NAME: Fact((name,))} | {
            field: invention.invent(make, parts(), rng) for field, make in self.makes.items()
        }


@cache
def kinds() -> Mapping[str, Kind]:
    """Return the kinds of `words/kinds.toml` by name."""
    return {name: _kind(name, table) for name, table in _read("kinds").items()}


@cache
def parts() -> Parts:
    """Return what invented names are made of."""
    return Parts.of(_read("lists"))


@cache
def asides() -> Sequence[str]:
    """Return the patterns of sentences beside the point."""
    patterns: Sequence[str] = _read("lists")["aside"]["any"]
    return patterns


def _kind(name: str, table: dict[str, Any]) -> Kind:
    called, things, topics = (table.pop(key) for key in ("called", "things", "topics"))
    fields = {
        field: {"ask": of["ask"], "tell": [_slot(text, field) for text in of["tell"]]} for field, of in table.items()
    }
    words = Words({SEEN: things}, {NAME: NAMED, **fields})
    labels = {NAME: "Name"} | {field: of["label"] for field, of in table.items()}
    return Kind(name, called, topics, words, labels, {field: of["make"] for field, of in table.items()})


def _slot(pattern: str, field: str) -> str:
    return pattern.replace("{v}", f"{{{field}}}")


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "words" / f"{name}.toml").read_text("utf-8"))
