"""Facts of countries, and how a sentence names them."""

from typing import Any

import pytest

from camml.factpix.topics import flags

RECORD: dict[str, Any] = {
    "name": {"common": "Netherlands", "official": "Kingdom of the Netherlands"},
    "capital": ["Amsterdam"],
    "region": "Americas",
    "subregion": "Western Africa",
    "languages": {"a": "Dutch", "b": "English"},
    "currencies": {"EUR": {"name": "Euro"}},
    "borders": ["A", "B", "C", "D", "E", "F"],
    "demonyms": {"eng": {"m": "Dutch"}},
}
NAMES = {code: f"Land {code}" for code in "ABCDEF"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Kenya", "Kenya"),
        ("Netherlands", "the Netherlands"),
        ("United Kingdom", "the United Kingdom"),
        ("Solomon Islands", "the Solomon Islands"),
        ("DR Congo", "the DR Congo"),
    ],
)
def test_names_have_their_article_in_a_sentence(name: str, said: str) -> None:
    assert flags.in_sentence(name) == said


def test_facts_are_everyday_words() -> None:
    facts = flags.facts(RECORD, NAMES)
    assert {field: fact.answer for field, fact in facts.items()} == {
        "name": "Netherlands",
        "capital": "Amsterdam",
        "continent": "America",
        "region": "West Africa",
        "language": "Dutch",
        "currency": "Euro",
        "people": "Dutch",
        "borders": "Land A",
    }
    assert facts["continent"].accept == ("Americas",)
    assert facts["name"].in_text == "the Netherlands"
    assert facts["language"].in_text == "Dutch and English"


def test_of_many_neighbors_some_are_told_and_asked_about() -> None:
    facts = flags.facts(RECORD, NAMES)
    assert facts["borders"].in_text == "Land A, Land B, Land C, Land D, Land E and others"
    assert len(facts["borders"].values) == flags.MOST_TOLD


def test_what_is_not_known_is_left_out() -> None:
    facts = flags.facts({**RECORD, "capital": [], "borders": [], "demonyms": {}, "subregion": ""}, NAMES)
    assert set(facts) == {"name", "continent", "language", "currency"}
