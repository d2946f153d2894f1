"""Facts become sentences."""

import json
from pathlib import Path

import countries
import pytest

from tests.examples.world import WORLD


@pytest.fixture
def known(tmp_path: Path) -> dict[str, countries.Country]:
    path = tmp_path / "countries.json"
    path.write_text(json.dumps(WORLD))
    return {country.code: country for country in countries.read(path)}


def test_territories_are_left_out_and_the_rest_sorted(known: dict[str, countries.Country]) -> None:
    assert list(known) == ["ba", "ga", "ra", "ya"]


def test_every_fact_is_said(known: dict[str, countries.Country]) -> None:
    assert countries.describe(known["ra"]) == (
        "This is the flag of Redland. Its capital is Redland City. Its continent is Africa. Its region is East Africa. "
        "Its language is Redlandish and English. Its currency is the Redland dollar. A person from there is Redlander."
    )


def test_a_name_takes_its_article(known: dict[str, countries.Country]) -> None:
    text = countries.describe(known["ga"])
    assert text.startswith("This is the flag of the Greenland Republic. Its capital is")


@pytest.mark.parametrize(
    ("names", "sentence"), [([], ""), (["A"], "A"), (["A", "B"], "A and B"), (["A", "B", "C"], "A, B and C")]
)
def test_lists_read_as_people_write_them(names: list[str], sentence: str) -> None:
    assert countries.listed(names) == sentence
