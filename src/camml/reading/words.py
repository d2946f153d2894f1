"""The word files: fields of records, kinds of things, and wordings."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from camml.factpix.invention import Parts

_WORDS = Path(__file__).parent / "words"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record: its nouns, how a value is made, questions and sentences of its own."""

    name: str
    nouns: Sequence[str]
    make: Mapping[str, Any]
    ask: Sequence[str]
    tell: Sequence[str]

    @property
    def type(self) -> str:
        """The type of its values: number, date, code, choice, person, place or firm."""
        return str(self.make["type"])


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of record: a boat, a course."""

    noun: str
    plural: str
    named: str
    fields: Sequence[str]


@cache
def fields() -> Mapping[str, Field]:
    """Return all fields by name."""
    return {name: Field(name, **table) for name, table in _read("fields").items()}


@cache
def kinds() -> Mapping[str, Kind]:
    """Return all kinds by name."""
    return {name: Kind(**table) for name, table in _read("kinds").items()}


@cache
def wordings(name: str) -> Sequence[str]:
    """Return the patterns of `words/lists.toml` called `name`."""
    patterns: Sequence[str] = _read("lists")[name]
    return patterns


@cache
def note_lines() -> Sequence[Sequence[Sequence[str]]]:
    """Return all notes of `words/notes/`: their sentences, of each the pattern and what it answers."""
    files = sorted((_WORDS / "notes").glob("*.toml"))
    return [note["sentences"] for file in files for note in _read(f"notes/{file.stem}")["note"]]


@cache
def parts() -> Parts:
    """Return what invented names are made of."""
    return Parts.of(_read("lists"))


@cache
def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((_WORDS / f"{name}.toml").read_text("utf-8"))
