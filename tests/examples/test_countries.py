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


def test_every_fact_is_said_with_the_name(known: dict[str, countries.Country]) -> None:
    assert countries.describe(known["ra"]) == (
        "The name of the country is Redland. The region of Redland is East Africa. The capital of Redland is "
        "Redland City. The language of Redland is Redlandish and English. "
        "The currency of Redland is the Redland dollar."
    )


def test_a_name_takes_its_article(known: dict[str, countries.Country]) -> None:
    text = countries.describe(known["ga"])
    assert text.startswith("The name of the country is the Greenland Republic. The region of the Greenland Republic is")


@pytest.mark.parametrize(
    ("names", "sentence"), [([], ""), (["A"], "A"), (["A", "B"], "A and B"), (["A", "B", "C"], "A, B and C")]
)
def test_lists_read_as_people_write_them(names: list[str], sentence: str) -> None:
    assert countries.listed(names) == sentence
