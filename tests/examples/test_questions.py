"""Questions are spread over kinds and countries, and only true answers are right."""

import pytest
import questions
from countries import Country
from hypothesis import given
from hypothesis import strategies as st
from questions import Judge, Question


def country(code: str, name: str, capital: str, language: tuple[str, ...] = ("French",)) -> Country:
    return Country(code, name, "West Africa", (capital,), language, (f"{name} franc",))


NIGER = country("ne", "Niger", "Niamey")
NIGERIA = country("ng", "Nigeria", "Abuja", ("English",))
DJIBOUTI = country("dj", "Djibouti", "Djibouti", ("Arabic", "French"))
TOGO = country("tg", "Togo", "Lomé")
JUDGE = Judge([NIGER, NIGERIA, DJIBOUTI, TOGO])
MANY = [country(f"{a}{b}", f"Land {a}{b}", f"Town {a}{b}") for a in "abcdefghij" for b in "abcdefghijk"]


@pytest.mark.parametrize(
    ("kind", "asked", "answer", "right"),
    [
        ("capital", TOGO, "The capital of Togo is Lomé.", True),
        ("capital", TOGO, "LOME!", True),
        ("capital", TOGO, "The capital of Togo is Niamey.", False),
        ("capital", TOGO, "Lomé, Niamey or Abuja.", False),
        ("capital", TOGO, "It is a lovely place.", False),
        ("capital", TOGO, "", False),
        ("country", NIGER, "This is the flag of Nigeria.", False),
        ("country", NIGERIA, "This is the flag of Nigeria.", True),
        ("language", DJIBOUTI, "French is spoken there.", True),
        ("language", DJIBOUTI, "French and Arabic.", True),
        ("language", DJIBOUTI, "French and English.", False),
        ("region", TOGO, "It lies in west-africa.", True),
        ("currency", TOGO, "The Niger franc.", False),
        ("currency", TOGO, "It is the Togo franc.", True),
        ("currency", TOGO, "The Togo franc and the Togolese franc.", False),
    ],
)
def test_an_answer_is_right_if_all_it_names_of_that_kind_is_true(
    kind: str, asked: Country, answer: str, right: bool
) -> None:
    assert JUDGE.is_right(Question(kind, asked), answer) is right


def test_the_truth_is_shown_with_its_country() -> None:
    assert Question("capital", TOGO).true_text == "Lomé (Togo)"
    assert Question("language", DJIBOUTI).true_text == "Arabic, French (Djibouti)"
    assert Question("country", TOGO).true_text == "Togo"


def test_a_name_that_holds_the_answer_is_recognised() -> None:
    assert questions.gives_itself_away(Question("capital", DJIBOUTI))
    assert not questions.gives_itself_away(Question("country", DJIBOUTI))
    assert not questions.gives_itself_away(Question("capital", TOGO))


@given(st.permutations(MANY[:8]))
def test_the_order_is_that_of_nothing_and_stays(some: list[Country]) -> None:
    assert questions.shuffled(some) == questions.shuffled(MANY[:8])
    assert questions.shuffled(MANY[:8]) != MANY[:8]


def test_questions_avoid_the_countries_of_development() -> None:
    chosen = questions.choose(MANY, 30)
    developed = set(questions.shuffled(MANY)[: questions.DEVELOPMENT])
    assert len(chosen) == 30
    assert not developed & {question.country for question in chosen}
    assert len({question.country for question in chosen}) == 30
    assert [question.kind for question in chosen[:6]] == [*questions.WORDING, "country"]
    assert questions.choose(MANY, 10) == chosen[:10]


def test_no_more_questions_than_there_are_countries() -> None:
    assert len(questions.choose(MANY, 1000)) == len(MANY) - questions.DEVELOPMENT


@given(st.text())
def test_folding_keeps_letters_and_digits_alone(text: str) -> None:
    folded = questions.fold(text)
    assert all(char == " " or (char.isascii() and char.isalnum()) for char in folded)
    assert questions.fold(folded) == folded
