"""Countries and what is known of them, read from the package `world-countries`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WITH_ARTICLE = {"Bahamas", "Comoros", "DR Congo", "Gambia", "Maldives", "Netherlands", "Philippines", "Seychelles"}
"""Countries that a sentence calls "the ...", beside those that their name gives away."""

EVERYDAY = {
    "Eastern Africa": "East Africa",
    "Middle Africa": "Central Africa",
    "Northern Africa": "North Africa",
    "Western Africa": "West Africa",
    "Eastern Asia": "East Asia",
    "South-Eastern Asia": "Southeast Asia",
    "Southern Asia": "South Asia",
}
"""Regions by the names that people use, where the statisticians' differ."""


@dataclass(frozen=True, slots=True)
class Country:
    """An independent country; `code` is its two letters of ISO 3166, in lower case."""

    code: str
    name: str
    region: str
    capitals: tuple[str, ...]
    languages: tuple[str, ...]
    currencies: tuple[str, ...]
    continent: str = ""
    people: str = ""

    @property
    def in_sentence(self) -> str:
        """Its name as it stands within a sentence."""
        plural = self.name.startswith("United ") or self.name.endswith((" Islands", " Republic", " States"))
        return f"the {self.name}" if plural or self.name in WITH_ARTICLE else self.name


def read(path: Path) -> list[Country]:
    """The independent countries of `countries.json`, by code.

    Territories are left out: many fly the flag of another country, and no picture could tell them apart.
    """
    entries = json.loads(path.read_text(encoding="utf-8"))
    countries = [
        Country(
            code=entry["cca2"].lower(),
            name=entry["name"]["common"],
            region=EVERYDAY.get(entry["subregion"], entry["subregion"]),
            capitals=tuple(entry["capital"]),
            languages=tuple(entry["languages"].values()),
            currencies=tuple(currency["name"] for currency in entry["currencies"].values()),
            continent=EVERYDAY.get(entry["region"], entry["region"]),
            people=entry["demonyms"]["eng"]["m"],
        )
        for entry in entries
        if entry["independent"]
    ]
    return sorted(countries, key=lambda country: country.code)


def describe(country: Country) -> str:
    """What the datastore says of a country, in the manner of the texts that the model was trained on, the name once."""
    sentences = [
        f"This is the flag of {country.in_sentence}.",
        f"Its capital is {listed(country.capitals)}.",
        f"Its continent is {country.continent}.",
        f"Its region is {country.region}.",
        f"Its language is {listed(country.languages)}.",
        f"Its currency is the {listed(country.currencies)}.",
        f"A person from there is {country.people}.",
    ]
    return " ".join(sentences)


def listed(names: Sequence[str]) -> str:
    """The names as a sentence lists them: "A", "A and B", "A, B and C"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
