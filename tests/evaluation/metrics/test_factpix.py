"""FactPix: right and wrong answers of each kind, and numbers that count classes alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml.evaluation.metrics.factpix import holds, measure, open_match, plain, right, said, word_f1
from camml.evaluation.task import Item, Settings


def item(name: str, cluster: str, kind: str, answer: str, **more: object) -> Item:
    truth = {"topic": cluster.split("/")[0], "field": "capital", "kind": kind, "answer": answer, **more}
    return Item(name, name, "?", None, truth, {}, cluster)


@pytest.mark.parametrize(
    ("answer", "matches"),
    [
        ("Lima", 1), ("lima.", 1), ("  LIMA\n\nAnother line", 1), ("The capital of Peru is Lima.", 1), ("Líma", 1),
        ("Answer: Lima", 1), ("City of Lima", 1), ("Its capital is the city of Lima", 1),
        ("The place is found in the city Lima", 1), ("This city is called “Lima”.", 1),
        ("", 0), ("Quito", 0), ("Quito is called, not Lima", 0), ("It is Quito or Lima", 0), ("Villa Lima", 0),
        ("Lima and Quito", 0), ("Lima is the capital", 0), ("Not Lima", 0), ("Limassol", 0),
        ("Quito, Lima, Bogota", 0), ("It is not Lima", 0),
    ],
)  # fmt: skip
def test_an_open_answer_is_the_fact_or_a_sentence_that_ends_with_it(answer: str, matches: int) -> None:
    assert open_match(answer, ["Lima", "the city of Lima"]) == matches


def test_plain_keeps_what_tells_answers_apart() -> None:
    assert plain("São Tomé & Príncipe") == "sao tome and principe"
    assert plain("The A's") == plain("as")
    assert plain("Côte d’Ivoire") != plain("Côte")
    assert plain("The") == "the"
    assert plain("東京") == "東京"


@given(st.text(max_size=30))
def test_every_answer_matches_itself(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert open_match(text.strip(), [text.strip().splitlines()[0] if text.strip() else ""]) == 1


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("B", 1), ("B. Paris", 1), ("Paris", 1), ("It is Paris.", 1), ("A", 0), ("A or B", 0), ("", 0)],
)
def test_a_choice_is_its_letter_or_its_text(answer: str, letter: int) -> None:
    truth = {"kind": "choice", "answer": "B", "choices": ["Lima", "Paris", "Rome"]}
    assert right(answer, truth) == letter


@pytest.mark.parametrize(
    ("answer", "first"),
    [("yes", "yes"), ("No.", "no"), ("Yes, it does; no doubt", "yes"), ("nothing", None), ("", None), ("Not so", None)],
)
def test_the_first_yes_or_no_counts(answer: str, first: str | None) -> None:
    assert said(answer) == first
    assert right(answer, {"kind": "yesno", "answer": "no"}) == (first == "no")


def test_softer_measures_of_open_answers() -> None:
    assert word_f1("the red bus", ["bus", "red bus stop"]) == pytest.approx(0.8)
    assert word_f1("", ["bus"]) == 0
    assert holds("Quito, Lima, Bogota", ["Lima"]) == 1
    assert holds("Limassol", ["Lima"]) == 0


def test_classes_count_alike_however_many_questions_they_have() -> None:
    items = [item(str(number), "flags/pe", "open", "Lima") for number in range(9)]
    items.append(item("x", "emoji/dog", "yesno", "yes", wording="new"))
    answers = {entry.id: "Quito" for entry in items} | {"0": "Lima", "1": "So Lima it is", "x": "yes"}
    result = measure(items, answers, Settings())
    assert result.of_clusters
    assert result.values["accuracy"] == pytest.approx((100 / 9 + 100) / 2)
    assert result.values["kind/open"] == result.values["topic/flags"] == pytest.approx(100 / 9)
    assert result.values["field/emoji capital"] == result.values["wording/new"] == 100
    assert result.values["open/exact"] == pytest.approx(100 / 9)
    assert result.values["open/holds"] == pytest.approx(200 / 9)
    assert result.values["open/f1"] == pytest.approx(100 * (1 + 0.4) / 9)
    assert sum(result.per_item.values()) == 2
