"""Flags of countries and territories, with facts of the place."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from camml.factpix import icons
from camml.factpix.catalog import Entry, Fact, listed
from camml.factpix.sources import Source, icon_set
from camml.factpix.topics import _emoji_sets

COUNTRIES = Source(
    "world-countries",
    "5.1.0",
    "329eb6ef4099ffb590219c9beb634bf489a5e4b10d8ab0ac52a58ebf7b9f8495",
    "World countries",
    "Mohammed Le Doze",
    "ODbL-1.0",
    "https://github.com/mledoze/countries",
)
STYLES: Mapping[str, Source] = {
    "cif": icon_set(
        "cif",
        "1.2.7",
        "804801450b77e3b2c9a2b716fb45b44ee2a97e702e21ac6bca6358d0f7eb13c8",
        "CoreUI Flags",
        "creativeLabs Łukasz Holeczek",
        "CC0-1.0",
        "https://github.com/coreui/coreui-icons",
    ),
    "circle-flags": icon_set(
        "circle-flags",
        "1.2.11",
        "ee9a03f6a6fdd79cc6325bdcb7bb93b83d331e60b16e226188f154a64b6bb4a9",
        "Circle Flags",
        "HatScripts",
        "MIT",
        "https://github.com/HatScripts/circle-flags",
    ),
    "emojione": _emoji_sets.EMOJIONE,
    "flag": icon_set(
        "flag",
        "1.2.12",
        "42246bc20f6154739a192172d71ffe477747ad38278f2e912ec43f4dcb5a15e0",
        "Flag Icons",
        "Panayiotis Lipiridis",
        "MIT",
        "https://github.com/lipis/flag-icons",
    ),
    "flagpack": icon_set(
        "flagpack",
        "1.2.8",
        "165ea189ef6ee00b8c10d66c0a2702a6afe1d89d7feafdc3a02a459d65580483",
        "Flagpack",
        "Yummygum",
        "MIT",
        "https://github.com/Yummygum/flagpack-core",
    ),
    "openmoji": _emoji_sets.OPENMOJI,
    "twemoji": _emoji_sets.TWEMOJI,
}
SOURCES = (COUNTRIES, *STYLES.values())
ASKED_STYLE, NEW_STYLE, ASKED_STYLES = "flag", "openmoji", 3

WITH_ARTICLE = {
    *("Bahamas", "Comoros", "Gambia", "Maldives", "Netherlands", "Philippines", "Seychelles"),
    *("DR Congo", "Isle of Man", "Caribbean Netherlands", "British Indian Ocean Territory"),
}
"""Places that a sentence calls "the ...", beside those that their name gives away."""

EVERYDAY = {
    "Eastern Africa": "East Africa",
    "Middle Africa": "Central Africa",
    "Northern Africa": "North Africa",
    "Western Africa": "West Africa",
    "Eastern Asia": "East Asia",
    "South-Eastern Asia": "Southeast Asia",
    "Southern Asia": "South Asia",
    "Western Asia": "West Asia",
    "Americas": "America",
    "Caribbean": "the Caribbean",
}
"""Continents and regions as a sentence names them, where the statisticians' names differ."""

MOST_TOLD = 5
"""So many neighbours of a country a text names at most; only those are asked about."""


def entries() -> Sequence[Entry]:
    """Return every country or territory with a flag of its own; many territories fly that of another country."""
    records = json.loads((COUNTRIES.fetch() / "countries.json").read_text(encoding="utf-8"))
    records.sort(key=lambda record: (not record["independent"], record["cca2"]))
    sets = {style: icons.read(source.fetch() / "icons.json") for style, source in STYLES.items()}
    names = {record["cca3"]: in_sentence(record["name"]["common"]) for record in records}
    seen: set[tuple[str, str]] = set()
    entries = []
    for record in records:
        drawn = drawings(record, sets)
        bodies = {(style, sets[style].body(drawing.name)) for style, drawing in drawn.items()}
        if ASKED_STYLE in drawn and not bodies & seen:
            rivals = {"borders": [names[r["cca3"]] for r in records if _may_be_mistaken(r, record)]}
            entries.append(Entry(record["cca2"].lower(), record["cca2"].lower(), facts(record, names), drawn, rivals))
        seen |= bodies
    return sorted(entries, key=lambda entry: entry.key)


def drawings(record: Mapping[str, Any], sets: Mapping[str, icons.IconSet]) -> dict[str, icons.IconDrawing]:
    """Return the flag in every style that has it."""
    code = record["cca2"].lower()
    characters = "-".join(f"{0x1F1E6 + ord(letter) - ord('a'):x}" for letter in code)
    emoji = sets["twemoji"].names_of_characters.get(characters)
    name = {
        "flag": f"{code}-4x3",
        "twemoji": emoji,
        "openmoji": sets["openmoji"].names_of_characters.get(characters),
        "emojione": emoji and emoji.replace("flag-", "flag-for-", 1),
    }
    by_style = {style: icon_set.drawing(name.get(style, code)) for style, icon_set in sets.items()}
    return {style: drawing for style, drawing in by_style.items() if drawing}


def facts(record: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Fact]:
    """Return the known facts about a country, field by field; fields without a value are left out."""
    name, official = record["name"]["common"], record["name"]["official"]
    neighbors = tuple(sorted(names[code] for code in record["borders"]))
    told = listed(neighbors) if len(neighbors) <= MOST_TOLD else ", ".join(neighbors[:MOST_TOLD]) + " and others"
    demonym = record.get("demonyms", {}).get("eng", {}).get("m", "")
    known = {
        "name": Fact((name,), (official,) if official != name else (), in_sentence(name)),
        "capital": Fact(tuple(record["capital"])),
        "continent": _place(record["region"]),
        "region": _place(record["subregion"]),
        "language": Fact(tuple(record["languages"].values())[:3]),
        "currency": Fact(tuple(currency["name"] for currency in record["currencies"].values())[:2]),
        "people": Fact((demonym,) if demonym else ()),
        "borders": Fact(neighbors[:MOST_TOLD], phrase=told),
    }
    return {field: fact for field, fact in known.items() if fact.values}


def in_sentence(name: str) -> str:
    """Return the name of a place as it stands within a sentence."""
    plural = name.startswith("United ") or name.endswith((" Islands", " Republic", " States"))
    return f"the {name}" if plural or name in WITH_ARTICLE else name


def _place(official: str) -> Fact:
    """Return a continent or region; nothing where the record has none."""
    name = EVERYDAY.get(official, official)
    return Fact((name,) if name else (), (official,) if official != name else ())


def _may_be_mistaken(other: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Return True if asking whether `record` borders `other` is a fair question with the answer "no"."""
    near = other["region"] == record["region"] and other["borders"]
    return bool(near) and other is not record and other["cca3"] not in record["borders"]
