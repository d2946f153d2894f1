"""What the demo asks, what is true, and the rule that says whether an answer is right."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from countries import Country

WORDING: Mapping[str, str] = {
    "country": "What is the name of this country?",
    "capital": "What is the capital of this country?",
    "region": "What is the region of this country?",
    "language": "What is the language of this country?",
    "currency": "What is the currency of this country?",
}
TRUTH: Mapping[str, Callable[[Country], tuple[str, ...]]] = {
    "country": lambda country: (country.name,),
    "capital": lambda country: country.capitals,
    "region": lambda country: (country.region,),
    "language": lambda country: country.languages,
    "currency": lambda country: country.currencies,
}
DEVELOPMENT = 60
"""So many countries, the first in the order of `shuffled`, were used to choose wordings; the demo asks about others."""

UNSEEN = frozenset(Path(__file__).with_name("unseen.txt").read_text().split())
"""Codes of the countries in the validation and held-out parts of FactPix: no training showed the model their flags."""

WITHOUT_STROKES = str.maketrans("đłøı", "dloi")
"""Letters that Unicode does not take apart."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about the picture of a country's flag; `truth` comes from the facts, never from a sample."""

    kind: str
    country: Country

    @property
    def text(self) -> str:
        """The words of the question."""
        return WORDING[self.kind]

    @property
    def truth(self) -> tuple[str, ...]:
        """What may be named in a right answer; one of them is enough."""
        return TRUTH[self.kind](self.country)

    @property
    def true_text(self) -> str:
        """The truth for people, with the country it is about."""
        values = ", ".join(self.truth)
        return values if self.kind == "country" else f"{values} ({self.country.name})"


def shuffled(countries: Sequence[Country]) -> list[Country]:
    """The countries in an order that has nothing to do with them and never changes."""
    return sorted(countries, key=lambda country: sha256(country.code.encode()).digest())


def choose(countries: Sequence[Country], count: int) -> list[Question]:
    """`count` questions of all kinds in turn, each about another country, none of them used in development.

    Countries that the model's training did not show come first.
    """
    kinds = list(WORDING)
    chosen: list[Question] = []
    for country in sorted(shuffled(countries)[DEVELOPMENT:], key=lambda country: country.code not in UNSEEN):
        question = Question(kinds[len(chosen) % len(kinds)], country)
        if len(chosen) < count and question.truth and not gives_itself_away(question):
            chosen.append(question)
    return chosen


def gives_itself_away(question: Question) -> bool:
    """Whether the country's name holds the answer, as Singapore's holds its capital."""
    name = f" {fold(question.country.name)} "
    return question.kind != "country" and any(f" {fold(value)} " in name for value in question.truth)


class Judge:
    """Says whether an answer is right.

    It is if it names something of the kind asked for, and all that it names of that kind is true: an answer that
    lists many countries is not right because one of them is. Case, accents and punctuation do not count. A currency
    of no country, such as a made-up dollar, is recognised by its unit.
    """

    def __init__(self, countries: Sequence[Country]) -> None:
        known = {
            kind: {fold(value) for country in countries for value in truth(country)} for kind, truth in TRUTH.items()
        }
        known["currency"] |= {name.rpartition(" ")[2] for name in known["currency"]}
        self._names = {kind: sorted(names, key=len, reverse=True) for kind, names in known.items()}

    def is_right(self, question: Question, answer: str) -> bool:
        """Whether `answer` answers the question."""
        named = self.named(question.kind, answer)
        return bool(named) and named <= {fold(value) for value in question.truth}

    def named(self, kind: str, answer: str) -> set[str]:
        """All values of a kind that an answer names; the longest counts, so Niger is not in Nigeria."""
        rest = f" {fold(answer)} "
        result = set()
        for name in self._names[kind]:
            if f" {name} " in rest:
                result.add(name)
                rest = rest.replace(f" {name} ", " # ")
        return result


def fold(text: str) -> str:
    """`text` in lower case, without accents, everything but letters and digits turned into single spaces."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return re.sub(r"[^a-z0-9]+", " ", plain.lower().translate(WITHOUT_STROKES)).strip()
