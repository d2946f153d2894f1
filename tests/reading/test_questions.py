"""Single forms of questions on records that are known."""

import re
from random import Random

import pytest

from camml.factpix.catalog import Fact
from camml.reading.questions import Questioner, Scene
from camml.reading.records import Record, invent
from camml.reading.words import kinds

BOAT = kinds()["boat"]


def boat(name: str, **facts: str) -> Record:
    nouns = dict.fromkeys(BOAT.fields, "thing") | {"length": "length", "opened": "opening date"}
    values = {
        field: Fact((value,), ("1999-02-03",) if value == "3 February 1999" else ()) for field, value in facts.items()
    }
    return Record(BOAT, name, values, nouns, f"{name}: {facts}", "equals")


FIRST = boat("Ada", length="9.5 m", opened="3 February 1999", color="cream")
SECOND = boat("Bea", length="12.0 m", opened="2001-05-06", color="violet")


def asked(form: str, scene: Scene, times: int = 200) -> list:
    """Many questions of one form."""
    questioner, rng = Questioner(), Random(0)
    made = [questioner._forms[form][1](scene, rng) for _ in range(times)]
    return [item for item in made if item]


@pytest.fixture
def scene() -> Scene:
    return Scene([FIRST, SECOND], FIRST, pointed=False)


def test_comparisons_are_true(scene: Scene) -> None:
    for question in asked("pair", scene):
        up = any(word in question.text for word in ("larger", "greater", "later", "last"))
        assert question.answer == ("Bea" if up else "Ada")
    for question in asked("pair_yesno", scene):
        bea_first = question.text.index("Bea") < question.text.index("Ada")
        if question.text.startswith("Compared with"):
            bea_first = not bea_first
        wants_second_larger = question.field == "length"
        assert question.answer == ("yes" if bea_first is wants_second_larger else "no")


def test_bounds_are_true(scene: Scene) -> None:
    for question in asked("bound", scene):
        if question.field == "length":
            bound = float(question.text.rsplit(" m", 1)[0].split()[-1])
            up = any(word in question.text for word in ("more", "above", "exceed", "greater"))
            assert question.answer == ("yes" if (bound < 9.5) is up else "no")


def test_counts_are_true(scene: Scene) -> None:
    for question in asked("count", scene):
        [bound] = map(float, re.findall(r"([\d.]+) m\b", question.text))
        assert question.answer == str(sum(length > bound for length in (9.5, 12.0)))


def test_which_names_the_one_thing(scene: Scene) -> None:
    assert {question.answer for question in asked("which", scene)} == {"Ada"}
    same = Scene([FIRST, boat("Cy", color="cream")], FIRST, pointed=False)
    assert not [question for question in asked("which", same) if question.field == "color"]


def test_a_comparison_with_what_is_not_told_is_refused() -> None:
    scene = Scene([FIRST, boat("Bea", color="violet")], FIRST, pointed=False)
    made = asked("pair", scene)
    assert {item.answer for item in made} == {"not in the samples"}
    assert not asked("pair_yesno", scene)


def test_alone_a_record_is_compared_with_nothing() -> None:
    scene = Scene([FIRST], FIRST, pointed=True)
    assert not asked("pair", scene) + asked("which", scene) + asked("count", scene)


def test_only_what_is_understood_is_pointed_at() -> None:
    for seed in range(30):
        record = invent(Random(seed))
        for pointed in (True, False):
            texts = [question.text for question in asked("open", Scene([record], record, pointed), 30)]
            assert all(record.name in text for text in texts) is not pointed
