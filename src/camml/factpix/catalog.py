"""The parts of a topic: entries with facts and drawings, and the interface that every topic file has."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from camml.factpix.sources import Source

SIDE = 224
"""Pixels of the longer side of a picture, at most."""


class Drawing(Protocol):
    """One picture that is not rendered yet; it is sent to another process for that."""

    def png(self) -> bytes:
        """Return the picture as PNG, at most `SIDE` pixels on its longer side."""
        ...


@dataclass(frozen=True, slots=True)
class Fact:
    """A true value of an entry in one field.

    `values` are all true ones, the first is the answer to an open question; `accept` are other spellings of it that
    are right; `phrase` is how a text says it, by default the list of the values.
    """

    values: tuple[str, ...]
    accept: tuple[str, ...] = ()
    phrase: str = ""

    @property
    def answer(self) -> str:
        """The one value that stands for the fact."""
        return self.values[0]

    @property
    def in_text(self) -> str:
        """The fact as a sentence holds it."""
        return self.phrase or listed(self.values)


@dataclass(frozen=True, slots=True)
class Entry:
    """One class: a country, a region of a map, an emoji, a stamp.

    Entries of one `kin` (the woman and the man of one emoji) are kept in one split. `rivals` are wrong values worth
    asking about in a field, where any other entry's value would be too easy a "no".
    """

    key: str
    kin: str
    facts: Mapping[str, Fact]
    drawings: Mapping[str, Drawing]
    rivals: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Topic(Protocol):
    """The definitions that a file in `camml/factpix/topics` makes."""

    SOURCES: Sequence[Source]
    """Packages it takes its facts and drawings from."""

    ASKED_STYLE: str
    """The drawing style of validation and held-out questions; training asks in it too."""

    NEW_STYLE: str
    """The drawing style that is found nowhere but in `style.json`."""

    ASKED_STYLES: int
    """In so many styles a training class is asked about, at most."""

    def entries(self) -> Sequence[Entry]:
        """Return all classes, in an order that does not change; fetches the packages."""
        ...


def listed(names: Sequence[str]) -> str:
    """Join names as a sentence lists them: "A", "A and B", "A, B and C"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def slug(text: str) -> str:
    """Return `text` in lower-case ASCII letters and digits with hyphens between: "Cat’s café" as "cats-cafe"."""
    plain = unicodedata.normalize("NFKD", text.replace("’", "")).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
