"""The retrieval benchmark: what it asks, and that the page shows what was measured."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from camml.types import Sample
from tests.factpix_layout import write_factpix

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PAGE = (BENCHMARKS.parent / "docs" / "retrieval.md").read_text()


@pytest.fixture
def sets(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("_retrieval_sets")


def known(samples: list[Sample]) -> dict[str, Sample]:
    ids = {sample.id: sample for sample in samples}
    assert len(ids) == len(samples)
    return ids


def test_facts_are_asked_by_picture_by_words_and_by_both(sets: ModuleType, tmp_path: Path) -> None:
    write_factpix(tmp_path)
    path = tmp_path / "samples.json"
    path.write_text(
        json.dumps([sample | {"id": sample["id"].replace("/", "_")} for sample in json.loads(path.read_text())])
    )
    made = sets.facts(tmp_path, 40, 0)
    samples = known(made.samples)
    assert len(made.rows) == 6
    for kind, asked in made.rows.items():
        for question in asked:
            assert question.right <= samples.keys()
            assert bool(question.query.image) == ("picture" in kind.replace("no picture stored", ""))
            assert bool(question.query.text) == (kind != "picture only")
            assert all((samples[name].image is None) == kind.startswith("no picture") for name in question.right)


def test_no_two_notes_are_about_one_thing_and_half_have_a_picture(sets: ModuleType, tmp_path: Path) -> None:
    flags = [{"id": f"cif-{n}", "image": f"pictures/cif/{n}.png", "text": f"flag {n}"} for n in range(96)]
    (tmp_path / "samples.json").write_text(json.dumps(flags))
    made = sets.notes(tmp_path, [(tmp_path / f"{n}.png", tmp_path / f"{n}b.png") for n in range(30)])
    notes = [sample for sample in known(made.samples).values() if sample.id.startswith("note-")]
    assert len(notes) == 60 == len({" ".join(sample.text.split()[:2]) for sample in notes})
    assert sum(sample.image is None for sample in notes) == 30
    stored = {sample.image for sample in made.samples}
    assert all(item.query.image not in stored for item in made.rows["picture and words"])


@pytest.mark.parametrize("name", ["mini", "mini_maps"])
def test_the_page_shows_what_was_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    result = json.loads((BENCHMARKS / "results" / f"retrieval_{name}.json").read_text())
    assert import_module("retrieval").table(result["rows"]) in PAGE
