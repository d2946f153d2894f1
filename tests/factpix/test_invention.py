"""Invented values and what is right for them."""

import re
from random import Random

import pytest

from camml.evaluation.metrics.factpix import open_match
from camml.factpix.invention import Parts, invent

PARTS = Parts(["ka", "lo", "mi"], ["Ann", "Bo"], ["ton", "by"], ["Ltd", "and Sons"], "XY")


@pytest.mark.parametrize("seed", range(20))
def test_a_number_is_right_with_and_without_its_unit(seed: int) -> None:
    make = {"type": "number", "low": 2, "high": 90, "decimals": 1, "unit": "kg", "spelled": ["kilos"]}
    fact = invent(make, PARTS, Random(seed))
    number = fact.answer.removesuffix(" kg")
    assert 2 <= float(number) <= 90
    assert {number, f"{number} kilos", f"{number}kg", f"{float(number):g} kg"} <= {fact.answer, *fact.accept}
    assert not open_match(f"{float(number) + 1:.1f} kg", [fact.answer, *fact.accept])


@pytest.mark.parametrize("seed", range(20))
def test_a_date_is_right_in_three_ways(seed: int) -> None:
    fact = invent({"type": "date", "low": 1990, "high": 2000}, PARTS, Random(seed))
    ways = {fact.answer, *fact.accept}
    assert len(ways) == 3
    assert sum(bool(re.fullmatch(r"\d{4}-\d\d-\d\d", way)) for way in ways) == 1


def test_names_are_made_of_the_parts_that_are_given() -> None:
    for seed in range(20):
        rng = Random(seed)
        assert invent({"type": "code", "pattern": "@@-##"}, PARTS, rng).answer[:2] in {"XX", "XY", "YX", "YY"}
        first, family = invent({"type": "person"}, PARTS, rng).answer.split()
        assert first in PARTS.firsts
        assert re.fullmatch("(ka|lo|mi){2}", family.lower())
        assert re.fullmatch("(ka|lo|mi)(ton|by)", invent({"type": "place"}, PARTS, rng).answer.lower())
        assert invent({"type": "firm"}, PARTS, rng).answer.endswith(("Ltd", "and Sons"))
        assert invent({"type": "choice", "options": ["a", "b"]}, PARTS, rng).answer in "ab"
