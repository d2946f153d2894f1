"""Forms in which a record tells its facts."""

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from camml.factpix import invention
from camml.reading.words import parts


class TextFact(NamedTuple):
    """A fact on its way into a text: what it is called, its value, and a sentence that tells it."""

    noun: str
    value: str
    sentence: str


def _sentences(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    opening = rng.choice(("About the {}.", "The {} has been recorded.", "This concerns the {}.", "We write of the {}."))
    return " ".join([opening.format(title), *(fact.sentence for fact in facts)])


def _equals(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    return "\n".join([title.upper(), *(f"{fact.noun} = {fact.value}" for fact in facts)])


def _dashes(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    return "\n".join([_headed(title), *(f"{_headed(fact.noun)} – {fact.value}" for fact in facts)])


def _dots(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    return "\n".join([_headed(title), *(f"{fact.noun} {'.' * (30 - len(fact.noun))} {fact.value}" for fact in facts)])


def _semicolons(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    return f"{_headed(title)}: " + "; ".join(f"{fact.noun} {fact.value}" for fact in facts) + "."


def _inline(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    sign = rng.choice((" / ", " | ", " · ", ", ", " - "))
    return sign.join([_headed(title), *(f"{_headed(fact.noun)}: {fact.value}" for fact in facts)])


def _stars(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    return "\n".join([f"{_headed(title)}:", *(f"* {fact.noun} is {fact.value}" for fact in facts)])


def _numbered(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    return "\n".join([_headed(title), *(f"{n}. {fact.sentence}" for n, fact in enumerate(facts, 1))])


def _wide_table(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    """Return a table with a column for each fact: what a value means stands above it."""
    head = ["entry", *(fact.noun for fact in facts)]
    rows = [head, ["---"] * len(head), [title, *(fact.value for fact in facts)]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _tabs(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    return "\n".join([f"entry\t{title}", *(f"{fact.noun}\t{fact.value}" for fact in facts)])


def _json(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    table = {"entry": title, **{fact.noun.replace(" ", "_"): fact.value for fact in facts}}
    return json.dumps(table, ensure_ascii=False, indent=rng.choice((None, 2)))


def _memo(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    written, by = invention.day(rng.randint(1995, 2026), rng), invention.person(parts(), rng)
    told = " ".join(fact.sentence for fact in facts)
    return f"Memo, {written}. Subject: {title}. {told} ({by})"


def _letter(title: str, facts: Sequence[TextFact], rng: Random) -> str:
    to, by = invention.person(parts(), rng), invention.person(parts(), rng)
    told = " ".join(fact.sentence for fact in facts)
    return f"Dear {to},\nyou asked about the {title}. {told}\nYours, {by}"


def _headed(text: str) -> str:
    return text[0].upper() + text[1:]


LAYOUTS: Mapping[str, Callable[[str, Sequence[TextFact], Random], str]] = {
    "dashes": _dashes,
    "dots": _dots,
    "equals": _equals,
    "inline": _inline,
    "json": _json,
    "letter": _letter,
    "memo": _memo,
    "numbered": _numbered,
    "semicolons": _semicolons,
    "sentences": _sentences,
    "stars": _stars,
    "tabs": _tabs,
    "wide_table": _wide_table,
}
"""From a title and facts to a text."""

PROSE = ("letter", "memo", "sentences")
"""Forms in which a title stands within a sentence."""
