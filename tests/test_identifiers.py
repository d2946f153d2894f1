"""The numbers and codes of a text, and how much they tell."""

import random

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from camml.words import identifier_pattern, identifiers, rarity, share_named


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Which seal does pump 9 need?", {"9"}),
        ("Order K-4821/b, 3rd floor", {"k-4821/b", "3rd"}),
        ("Version 1.10.", {"1.10"}),
        ("1,200 kg", {"1", "200"}),
        ("No number at all", set()),
        ("Zimmer ٣, n° 5—6", {"٣", "5", "6"}),
    ],
)
def test_identifiers_are_the_words_in_which_a_digit_stands(text: str, expected: set[str]) -> None:
    assert identifiers(text) == expected


def test_the_pattern_finds_just_the_texts_with_an_identifier() -> None:
    draw = random.Random(0)
    signs = ["9", "12", "K", "k", "-", ".", "/", ",", "(", " ", " ", "a", "é", "_", "٣", ":", "\n", "½", "²"]
    texts = ["".join(draw.choices(signs, k=draw.randint(1, 12))) for _ in range(20_000)]
    column = pa.array(texts, pa.large_string())
    for identifier in ("9", "12", "k-9", "9.12", "99", "a9", "é9"):
        matched = pc.match_substring_regex(column, identifier_pattern(identifier), ignore_case=True).to_pylist()
        assert matched == [identifier in identifiers(text) for text in texts]
        assert any(matched)


def test_what_stands_in_one_text_of_many_tells_most() -> None:
    assert rarity(1, 1000) == pytest.approx(1)
    assert 1 > rarity(2, 1000) > rarity(500, 1000) > rarity(1000, 1000) > 0
    assert rarity(1, 1) == pytest.approx(1)


def test_a_text_counts_by_the_identifiers_it_holds() -> None:
    rarities = {"9": 0.5, "k-1": 1.0}
    assert share_named("Pump 9 of order K-1", rarities) == 0.75
    assert share_named("Pump 9", rarities) == 0.25
    assert share_named("Pump 99 of order K-12", rarities) == 0
