"""FactPix on disk, and what samples know about its questions."""

import json
from pathlib import Path

import pytest

from camml import formats
from camml.errors import SampleError
from camml.evaluation import task as tasks
from camml.evaluation.facts import about, says
from camml.evaluation.task import Item
from camml.types import Sample
from tests.factpix_layout import write_factpix


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_factpix(tmp_path / "factpix")
    return tmp_path / "factpix"


def asked(kind: str, text: str = "?", **more: object) -> Item:
    return Item("q", "q", text, None, {"kind": kind, "field": "borders", **more}, {}, "flags/pe")


def test_questions_are_clustered_by_class(folder: Path) -> None:
    items = tasks.find("factpix").read(folder)
    assert [item.cluster for item in items[:3]] == ["flags/pe"] * 3
    assert items[0].truth == {
        "topic": "flags", "field": "capital", "kind": "open", "answer": "Lima", "accept": ["the city of Lima"],
        "wording": "seen",
    }  # fmt: skip
    assert items[0].text == "What is its capital?"
    assert items[0].image == folder / "images/flags/query_heldout/pe.png"


@pytest.mark.parametrize("name", ["samples.json", "late_samples.json"])
def test_samples_answer_the_questions_about_their_class(folder: Path, name: str) -> None:
    task = tasks.find("factpix" if name == "samples.json" else "factpix_late")
    items, samples = task.read(folder), list(formats.read(folder / name, mend_ids=True))
    assert task.knowledge
    for item in items:
        right = [sample for sample in samples if task.knowledge.right(item, sample)]
        assert len(right) == (2 if name == "samples.json" else 1)
        assert {says(item, sample) for sample in right} == {item.truth["answer"]}
    late, known = tasks.find("factpix_late").read(folder), list(formats.read(folder / "samples.json", mend_ids=True))
    assert not any(says(item, sample) for item in late for sample in known)


@pytest.mark.parametrize(
    ("item", "value", "answer"),
    [
        (asked("open"), ["Chile", "Brazil"], "Chile"),
        (asked("open"), [], None),
        (asked("open"), 12, "12"),
        (asked("yesno", value="Brazil"), ["Chile", "brazil"], "yes"),
        (asked("yesno", value="Brazil"), "Chile", "no"),
        (asked("yesno", value="Nigeria"), ["Niger"], "no"),
        (asked("yesno", value="Brazil"), [], None),
        (asked("choice", choices=["Peru", "CHILE"]), ["Chile"], "B"),
        (asked("choice", choices=["Peru", "Chile"]), ["Spain"], None),
        (asked("open"), None, None),
    ],
)
def test_what_facts_answer(item: Item, value: object, answer: str | None) -> None:
    facts = {"topic": "flags", "class": "pe", "facts": {} if value is None else {"borders": value}}
    several = value if isinstance(value, list) else [value]
    several = several or [None]
    apart = facts | {"facts": {"borders": several[0]}, "also": {"borders": several[1:]}}
    for meta in (facts, {"meta": facts}, *([apart] if several[0] else [])):
        assert says(item, Sample("s", "text", None, meta)) == answer
        assert about(Sample("s", "text", None, meta)) == "flags/pe"


def test_a_sample_of_another_sort_knows_nothing() -> None:
    sample = Sample("s", "text", None, {"topic": "flags"})
    assert about(sample) is None
    assert says(asked("open"), sample) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"meta": None}, "has no meta; build the data again"),
        ({"meta": {"topic": "flags", "class": "pe", "kind": "open"}}, "no text under field, answer"),
        ({"kind": "poem"}, "of kind 'poem'; there are: open, choice, yesno"),
        ({"kind": "choice", "choices": ["a", "b"], "answer": "C"}, "'C' is none of its 2 choices"),
        ({"kind": "yesno", "answer": "no"}, "does not have the value that it asks about"),
        ({"kind": "choice", "answer": ""}, "'' is none of its 0 choices"),
    ],
)
def test_broken_questions_are_named(folder: Path, change: dict, message: str) -> None:
    entries = json.loads((folder / "heldout.json").read_text())
    entries[0] |= change if "meta" in change else {"meta": entries[0]["meta"] | change}
    (folder / "heldout.json").write_text(json.dumps(entries))
    with pytest.raises(SampleError, match=message) as caught:
        tasks.find("factpix").read(folder)
    assert f"{folder / 'heldout.json'}, question images/flags" in str(caught.value)
