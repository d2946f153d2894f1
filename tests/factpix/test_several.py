"""Questions about several prints: every answer is recomputed from what the samples tell."""

import re
from collections import Counter, defaultdict
from random import Random
from typing import Any

import pytest

from camml.data import llava_json
from camml.factpix import notes, several
from camml.factpix.several import SeveralAsker, invent
from camml.factpix.wording import words_of
from tests.factpix.world import Built, class_of, text_of

Record = dict[str, Any]
FILES = ("several", "several_train")


@pytest.fixture(scope="module", params=FILES)
def file(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def prints_of(built: Built, file: str) -> dict[tuple[str, str], list[dict[str, str]]]:
    """What the samples of each class tell."""
    told: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for sample in built.read(f"{file}_samples"):
        told[class_of(sample)].append(sample["meta"]["facts"])
    return told


def by(prints: list[dict[str, str]], what: str) -> list[dict[str, str]]:
    return sorted(prints, key=lambda row: int(row[what].split()[0]))


def answer(form: str, text: str, prints: list[dict[str, str]]) -> str:
    """The answer, from the question's words and the samples' facts."""
    named = [next(p for p in prints if p["number"] == n) for n in re.findall(r"[A-Z]{2}-\d{3}", text)]
    if form in ("older", "newer", "oldest", "newest", "keeper"):
        ends = by(named or prints, "year")
        best = ends[-1 if form.startswith("new") else 0]
        return best["keeper" if form == "keeper" else "number"]
    if form in ("dearer", "cheaper", "dearest", "cheapest"):
        return by(named or prints, "price")[-1 if form.startswith("dear") else 0]["number"]
    if form == "count":
        return str(len(prints))
    if form == "kept":
        return str(sum(print["keeper"] in text for print in prints))
    if form == "before":
        [year] = re.findall(r"\b\d{4}\b", text)
        return str(sum(int(print["year"]) < int(year) for print in prints))
    first, second = named
    is_so = {
        "is_older": int(first["year"]) < int(second["year"]),
        "is_dearer": int(first["price"].split()[0]) > int(second["price"].split()[0]),
        "same_keeper": first["keeper"] == second["keeper"],
    }[form]
    return "yes" if is_so else "no"


@pytest.mark.long
def test_every_answer_follows_from_the_samples_together(built: Built, file: str) -> None:
    told = prints_of(built, file)
    records = built.read(file)
    assert len(records) >= 12
    for record in records:
        prints = told[class_of(record)]
        assert len(prints) == record["meta"]["samples"] >= 2
        assert record["meta"]["answer"] == answer(record["meta"]["form"], text_of(record), prints), text_of(record)


def test_one_sample_is_not_enough(built: Built, file: str) -> None:
    for sample in built.read(f"{file}_samples"):
        facts = sample["meta"]["facts"]
        assert all(facts[field] in sample["text"] for field in ("number", "year", "price", "keeper"))
        others = [row for row in prints_of(built, file)[class_of(sample)] if row != facts]
        assert not any(other["number"] in sample["text"] for other in others)


def test_yes_and_no_are_right_equally_often(built: Built, file: str) -> None:
    said = Counter(r["meta"]["answer"] for r in built.read(file) if r["meta"]["kind"] == "yesno")
    assert said["yes"] >= 3
    assert abs(said["yes"] - said["no"]) <= 6  # of each form and topic they differ by one at most


def test_classes_are_those_of_the_split(built: Built) -> None:
    classes = {name: set(map(class_of, built.read(name))) for name in FILES}
    assert classes["several"] <= set(map(class_of, built.questions["heldout"]))
    assert classes["several_train"] <= set(map(class_of, built.questions["train"]))


def test_names_are_not_those_of_training(built: Built) -> None:
    keepers = {name: {s["meta"]["facts"]["keeper"] for s in built.read(f"{name}_samples")} for name in FILES}
    assert not keepers["several"] & keepers["several_train"]
    assert {letter for s in built.read("several_samples") for letter in s["meta"]["facts"]["number"][:2]} <= set(
        notes.LETTERS[notes.LATE]
    )


def test_training_uses_no_new_wording_and_can_be_trained_on(built: Built) -> None:
    assert {r["meta"]["wording"] for r in built.read("several_train")} == {"seen"}
    assert {r["meta"]["wording"] for r in built.read("several")} == {"seen", "new"}
    assert len(llava_json.read(built.folder / "several_train.json")) == len(built.read("several_train"))


def test_questions_have_ids_and_pictures_of_their_own(built: Built, file: str) -> None:
    records = built.read(file)
    assert len({record["id"] for record in records}) == len(records)
    stored = {sample["image"] for sample in built.read(f"{file}_samples")}
    assert all((built.folder / record["image"]).is_file() and record["image"] not in stored for record in records)


def test_every_form_has_wordings_of_both_sorts() -> None:
    words = words_of("several")
    for form in words.fields:
        if form != "tell":
            assert len(words.wordings(form, "ask", "seen")) >= 9
            assert words.wordings(form, "ask", "seen").isdisjoint(words.wordings(form, "ask", "new"))


@pytest.mark.parametrize("count", [2, 3])
def test_prints_differ_in_what_is_compared(count: int) -> None:
    for seed in range(50):
        prints = invent(notes.TRAIN, [f"s{n}" for n in range(count)], Random(seed))
        for field in ("number", "year", "price"):
            assert len({getattr(print, field) for print in prints}) == count
        asked = list(SeveralAsker("x").ask("flags", "k", "s", prints, Random(seed)))
        assert [record["meta"]["kind"] for record in asked].count("yesno") == 1
        assert len(asked) == 4


def test_slots_are_all_filled(built: Built, file: str) -> None:
    assert not any("{" in text_of(record) for record in built.read(file))
    assert several.YEARS[0] > 1000
