"""What holds for reading data as a whole: answers are in the texts, balanced, trainable, and not those of OwnPix."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from camml import formats
from camml.data import llava_json
from camml.errors import OptionError, SampleError
from camml.neighbors import NeighborTable
from camml.reading import generator
from camml.reading.layouts import LAYOUTS
from camml.refusals import REFUSAL
from tests.factpix.world import files_of
from tests.factpix_layout import write_factpix

ROWS = 400


class Data:
    """The files of a run."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.rows = json.loads((folder / "conversations.json").read_text())
        self.samples = {load["id"]: load for load in json.loads((folder / "samples.json").read_text())}
        self.table = NeighborTable.open(folder / "neighbors")

    def asked(self) -> list[tuple[dict[str, Any], str, str, str, str]]:
        """Row, form, field, question and answer of every turn."""
        results = []
        for row in self.rows:
            texts = [turn["value"] for turn in row["conversations"]]
            pairs = zip(texts[::2], texts[1::2], strict=True)
            for form, field, (text, answer) in zip(row["meta"]["forms"], row["meta"]["fields"], pairs, strict=True):
                results.append((row, form, field, text.removeprefix("<image>\n"), answer))
        return results

    def texts(self, row: dict[str, Any]) -> list[str]:
        """The texts of a row's context."""
        return [neighbor.sample.text for neighbor in self.table.context(row["id"])]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("reading")
    return Data(folder, generator.build(folder, rows=ROWS, seed=3))


def test_an_open_answer_stands_in_the_text_of_one_neighbor(data: Data) -> None:
    for row, form, _, text, answer in data.asked():
        if form in ("open", "which", "pair", "called"):
            assert any(answer.lower() in told.lower() for told in data.texts(row)), text


def test_a_refusal_is_right_where_no_neighbor_says(data: Data) -> None:
    refused = Counter(form for _, form, _, _, answer in data.asked() if answer == REFUSAL)
    assert set(refused) == {"untold", "stranger", "pair_untold"}
    assert 0.15 < refused.total() / len(data.asked()) < 0.35
    for row, form, field, text, _ in data.asked():
        facts = [data.samples[n.sample.id]["meta"]["facts"] for n in data.table.context(row["id"])]
        if form == "untold":
            assert any(field not in fact for fact in facts)
        if form == "stranger":
            name = re.findall(r"[A-Z][a-z]* [A-Z0-9][\w ]*|[A-Z]\d+", text)
            assert name
            assert not any(max(name, key=len) in told for told in data.texts(row))


def test_yes_and_no_are_right_equally_often_in_every_form(data: Data) -> None:
    said = Counter((form, answer) for _, form, _, _, answer in data.asked() if answer in ("yes", "no"))
    assert {form for form, _ in said} == {"check", "bound", "pair_yesno"}
    for form in ("check", "bound", "pair_yesno"):
        assert said[form, "yes"] > 5
        assert abs(said[form, "yes"] - said[form, "no"]) <= 1


def test_every_form_and_layout_occurs(data: Data) -> None:
    assert set(data.manifest["counts"]["layouts"]) == set(LAYOUTS)
    assert set(data.manifest["counts"]["forms"]) == {
        *(
            "called",
            "open",
            "untold",
            "stranger",
            "check",
            "bound",
            "pair",
            "pair_untold",
            "pair_yesno",
            "which",
            "count",
        )
    }


def test_no_conversation_asks_for_a_field_twice_or_for_nothing(data: Data) -> None:
    for row in data.rows:
        fields = row["meta"]["fields"]
        assert 1 <= len(fields) == len(set(fields)) <= 4


def test_the_answering_record_is_mostly_but_not_always_the_nearest(data: Data) -> None:
    places = Counter(
        next((place for place, told in enumerate(data.texts(row)) if answer.lower() in told.lower()), -1)
        for row, form, _, _, answer in data.asked()
        if form == "open"
    )
    assert places[-1] == 0
    assert 0.6 < places[0] / places.total() < 0.95


def test_it_can_be_trained_on_and_stored(data: Data) -> None:
    read = llava_json.read(data.folder / "conversations.json")
    assert [sample.id for sample in read] == [row["id"] for row in data.rows]
    assert all(sample.id in data.table for sample in read)
    assert len(list(formats.read(data.folder / "samples.json"))) == len(data.samples)


def test_the_same_seed_writes_the_same_bytes_again_in_place_too(data: Data, tmp_path: Path) -> None:
    here = {name: bytes_ for name, bytes_ in files_of(data.folder).items() if "manifest" not in name}
    generator.build(tmp_path, rows=30, seed=9)
    generator.build(tmp_path, rows=ROWS, seed=3)
    again = {name: bytes_ for name, bytes_ in files_of(tmp_path).items() if "manifest" not in name}
    assert here == again
    assert len(NeighborTable.open(tmp_path / "neighbors")) == ROWS


def test_another_seed_writes_something_else(data: Data, tmp_path: Path) -> None:
    generator.build(tmp_path, rows=20, seed=4)
    assert json.loads((tmp_path / "conversations.json").read_text()) != data.rows[:20]


def test_records_may_have_pictures_of_training_classes(tmp_path: Path) -> None:
    factpix = tmp_path / "factpix"
    factpix.mkdir()
    write_factpix(factpix)
    samples = json.loads((factpix / "samples.json").read_text())
    (factpix / "store_train.json").write_text(json.dumps(samples))
    (factpix / "train.json").write_text((factpix / "heldout.json").read_text())
    out = tmp_path / "deep" / "reading"
    manifest = generator.build(out, rows=30, factpix=factpix)
    made = Data(out, manifest)
    shown = [row for row in made.rows if "image" in row]
    assert 0 < manifest["counts"]["rows_with_pictures"] == len(shown) < 30
    read = {sample.id: sample for sample in llava_json.read(out / "conversations.json")}
    for row in shown:
        asked, context = read[row["id"]].image, made.table.context(row["id"])
        assert asked is not None
        assert all(neighbor.sample.image and neighbor.sample.image.is_file() for neighbor in context)
        same = [neighbor for neighbor in context if neighbor.sample.image and neighbor.sample.image.stem == asked.stem]
        assert len(same) == 1
        assert same[0].sample.image != asked


def test_mistakes_are_said(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--rows is 0; it must be 1 or more"):
        generator.build(tmp_path, rows=0)
    with pytest.raises(SampleError, match="is not a file of a FactPix build; build it with"):
        generator.build(tmp_path / "new", rows=1, factpix=tmp_path)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(OptionError, match="holds something else than reading data"):
        generator.build(tmp_path, rows=1)
    with pytest.raises(OptionError, match="is a file; give a folder"):
        generator.build(tmp_path / "letter.txt", rows=1)


def test_what_a_row_asks_for_stands_within_the_limit(tmp_path: Path) -> None:
    limit = generator.TextLimit(60, lambda text: len(text.split()))
    data = Data(tmp_path, generator.build(tmp_path, rows=150, seed=4, limit=limit))
    full = 0
    for row, form, _, text, answer in data.asked():
        told = data.texts(row)
        read = told[: limit.count_read(told)]
        full += len(read) < len(told)
        if form in ("open", "which", "pair", "called"):
            assert any(answer.lower() in item.lower() for item in read), text
    assert full > 0
    with pytest.raises(OptionError, match="--context-tokens is 12"):
        generator.build(tmp_path, rows=1, limit=generator.TextLimit(12))


def test_codes_have_many_forms_and_a_wrong_one_has_that_of_the_right_one(tmp_path: Path) -> None:
    data = Data(tmp_path, generator.build(tmp_path, rows=300, seed=6))
    form = re.compile(r"[A-Z]"), re.compile(r"\d")
    codes = [
        sample["meta"]["facts"]["booking"] for sample in data.samples.values() if "booking" in sample["meta"]["facts"]
    ]
    assert len({form[1].sub("#", form[0].sub("@", code)) for code in codes}) > len(codes) / 4
