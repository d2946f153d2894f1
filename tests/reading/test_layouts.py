"""Every layout tells the title and every value."""

import json
from random import Random

import pytest

from camml.reading.layouts import LAYOUTS, TextFact

FACTS = [TextFact("length", "9 m", "It is 9 m long."), TextFact("booking code", "1AB22", "Quote 1AB22.")]


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_holds_title_and_values(name: str) -> None:
    for seed in range(5):
        text = LAYOUTS[name]("boat Ada", FACTS, Random(seed))
        assert "boat ada" in text.lower()
        assert all(fact.value in text for fact in FACTS)
        assert text == LAYOUTS[name]("boat Ada", FACTS, Random(seed))


def test_json_is_json() -> None:
    assert json.loads(LAYOUTS["json"]("boat Ada", FACTS, Random(0)))["booking_code"] == "1AB22"
