"""The words of questions and texts: lists of patterns in `words/*.toml`, one of which is drawn each time.

A wording is a pattern with a thing put in for `{it}`, so five patterns and four things are twenty wordings.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from camml.factpix.catalog import Fact

SEEN, NEW = "seen", "new"
"""Wordings that training uses, and those that are kept for held-out questions."""


@dataclass(frozen=True, slots=True)
class Words:
    """The wordings of one topic."""

    things: Mapping[str, Sequence[str]]
    fields: Mapping[str, Mapping[str, Sequence[str]]]

    def asks(self, field: str) -> bool:
        """Return True if open questions about the field exist; of some fields only yes/no questions make sense."""
        return "ask" in self.fields[field]

    def ask(self, field: str, wording: str, rng: Random) -> str:
        """Word an open question about a field."""
        return self._fill(self._patterns(field, "ask", wording), wording, rng)

    def check(self, field: str, value: str, wording: str, rng: Random) -> str:
        """Word a yes/no question whether `value` is true in a field."""
        return self._fill(self._patterns(field, "check", wording), wording, rng, value)

    def wordings(self, field: str, form: str, wording: str) -> set[str]:
        """Return all that `ask` or `check` can give for a field, with `{value}` left open."""
        patterns = self._patterns(field, form, wording)
        return {pattern.replace("{it}", thing) for pattern in patterns for thing in self.things[wording]}

    def tell(self, facts: Mapping[str, Fact], rng: Random) -> str:
        """Word a text with all `facts` in it, in the order of the topic's fields."""
        sentences = [
            rng.choice(self.fields[field]["tell"]).replace(f"{{{field}}}", facts[field].in_text)
            for field in self.fields
            if field in facts
        ]
        return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)

    def _patterns(self, field: str, form: str, wording: str) -> Sequence[str]:
        return self.fields[field][form if wording == SEEN else f"{form}_{NEW}"]

    def _fill(self, patterns: Sequence[str], wording: str, rng: Random, value: str = "") -> str:
        filled = rng.choice(patterns).replace("{it}", rng.choice(self.things[wording])).replace("{value}", value)
        return filled[0].upper() + filled[1:]


@cache
def words_of(topic: str) -> Words:
    """Read the wordings in `words/{topic}.toml`."""
    table: dict[str, Any] = tomllib.loads((Path(__file__).parent / "words" / f"{topic}.toml").read_text("utf-8"))
    things = {SEEN: table.pop("things"), NEW: table.pop("things_new")}
    return Words(things, table)
