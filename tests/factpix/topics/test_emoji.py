"""Facts of emoji, and which of them are kin."""

import pytest

from camml.factpix.topics import emoji

MESSAGES = {
    "groups": [{"order": 4, "message": "food & drink"}],
    "subgroups": [{"order": 47, "key": "food-asian", "message": "asian"}, {"order": 9, "key": "x", "message": "wrong"}],
}


@pytest.mark.parametrize(
    ("code", "label", "kin"),
    [
        ("1f468-200d-1f33e", "man farmer", "adult-200d-1f33e"),
        ("1f469-200d-1f33e", "woman farmer", "adult-200d-1f33e"),
        ("1f9d1-200d-1f33e", "farmer", "adult-200d-1f33e"),
        ("1f3c4-200d-2640-fe0f", "woman surfing", "1f3c4"),
        ("1f3c4", "person surfing", "1f3c4"),
        ("1f478", "princess", "royalty"),
        ("1f934", "prince", "royalty"),
        ("1f550", "one o’clock", "clock face"),
        ("1f55c", "one-thirty", "clock face"),
        ("1f468-200d-1f469-200d-1f466", "family: man, woman, boy", "people together"),
        ("1f46f-200d-2640-fe0f", "women with bunny ears", "people together"),
        ("1f3dc-fe0f", "desert", "1f3dc"),
        ("1f9e6", "socks", "1f9e6"),
    ],
)
def test_variants_of_one_emoji_are_kin(code: str, label: str, kin: str) -> None:
    assert emoji.kin(code, label) == kin


def test_facts_are_words() -> None:
    record = {"label": "sushi", "group": 4, "subgroup": 47, "tags": ["fish", ":p", "18", "sushi bar", "sea food"]}
    facts = emoji.facts(record, MESSAGES, "sushi")
    assert {field: fact.values for field, fact in facts.items()} == {
        "name": ("sushi",),
        "group": ("food and drink",),
        "kind": ("Asian food",),
        "keyword": ("fish", "sea food"),
    }
    assert facts["group"].accept == ("food & drink",)


def test_a_foreign_name_is_told_where_it_differs() -> None:
    record = {"label": "egg", "group": 4, "subgroup": 47}
    assert emoji.facts(record, MESSAGES, "huevo")["spanish"].in_text == "“huevo”"
