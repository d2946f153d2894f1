"""FactPix from questions to measures: contexts that are told, baselines without a model, added knowledge."""

import json
from pathlib import Path

import pytest

from camml import formats
from camml.answering.in_prompt import InPromptAnswerer
from camml.answering.perceiver import PerceiverAnswerer
from camml.datastore import Datastore
from camml.encoders import load
from camml.errors import SampleError
from camml.evaluation.contexts import Variant
from camml.evaluation.files import read_lines
from camml.evaluation.run import run
from camml.evaluation.score import compare
from tests.factpix_layout import write_factpix


@pytest.fixture(scope="module")
def factpix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FactPix, and a datastore of its samples in `store`."""
    folder = tmp_path_factory.mktemp("factpix")
    write_factpix(folder)
    Datastore.build(folder / "store", list(formats.read(folder / "samples.json", mend_ids=True)), load("hashed"))
    return folder


@pytest.fixture
def make(options, factpix):
    """A function that makes `Options` of a run on FactPix, eight samples retrieved by the picture.

    Two samples of one class say the same and look alike here, so six are left.
    """

    def of(**changes: object):
        usual = {"data": factpix, "store": str(factpix / "store"), "mode": "image-image", "retrieved": 8}
        return options(**usual | changes)

    return of


def log(folder: Path) -> list[dict]:
    return [record for _, record in read_lines(folder / "log.jsonl")]


@pytest.mark.long
def test_samples_of_the_right_class_are_counted(make) -> None:
    [outcome] = run(["factpix"], [Variant("none", 0), Variant("retrieved", 2)][1:], make())
    rows = log(outcome.folder)
    assert all(len(row["retrieved"]) == 6 and len(row["used"]) == 2 for row in rows)
    assert {item["right"] for row in rows for item in row["retrieved"]} == {True, False}
    result = outcome.measures["retrieval"]
    assert list(result) == ["hit@1", "hit@3", "hit@5"]
    assert 0 < result["hit@1"] <= result["hit@3"] <= result["hit@5"] <= 100
    clusters = {row["id"].split(":")[0] for row in rows}
    first = {cluster: row["retrieved"][0]["right"] for cluster in clusters for row in rows if cluster in row["id"]}
    assert result["hit@1"] == pytest.approx(100 * sum(first.values()) / len(first))
    assert outcome.measures["seconds"]["answer"] > 0
    assert json.loads((outcome.folder / "measures.json").read_text()) == outcome.measures
    assert not (outcome.folder / "seconds").exists()


@pytest.mark.long
def test_seconds_stay_as_they_were_measured(make) -> None:
    [first] = run(["factpix"], [Variant("retrieved", 1)], make())
    [again] = run(["factpix"], [Variant("retrieved", 1)], make())
    assert again.measures == first.measures


@pytest.mark.long
def test_the_oracle_puts_a_right_sample_first_found_or_not(make) -> None:
    for depth, shots in ((8, 3), (1, 1)):
        [outcome] = run(["factpix"], [Variant("oracle", shots)], make(retrieved=depth, out=make().out / str(depth)))
        for row in log(outcome.folder):
            topic, style_class = row["id"].split(":")[0].removeprefix("images/").split("/", 1)
            name = Path(style_class).stem
            assert row["used"][0].split("_") in ([topic, "cif", name], [topic, "flat", name])
            nearest = [item["id"] for item in row["retrieved"] if item["id"] != row["used"][0]]
            assert row["used"][1:] == nearest[: shots - 1]
            assert len(set(row["used"])) == shots


def test_the_oracle_needs_a_datastore_that_knows(make) -> None:
    with pytest.raises(SampleError, match="holds no sample that answers question images/flags/query_late/pe"):
        run(["factpix_late"], [Variant("oracle", 1)], make())


def test_baselines_without_a_model_say_what_samples_say(make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(model="no such model")
    copied, voted = run(["factpix"], [Variant("copy", 1), Variant("majority", 8)], made)
    rows = log(copied.folder)
    assert all(row["score"] == 1 for row in rows if row["retrieved"][0]["right"])
    assert copied.score.values["accuracy"] >= copied.measures["retrieval"]["hit@1"]
    assert {row["answer"] for row in log(voted.folder) if "capital:open" in row["id"]} <= {
        "Lima", "Nairobi", "Tokyo", "Paris"
    }  # fmt: skip
    first, second, comparison = compare(copied.folder, voted.folder)
    assert comparison.items == 6  # classes, not questions
    gap = first["values"]["accuracy"] - second["values"]["accuracy"]
    assert comparison.difference == pytest.approx(gap / 100)
    interval = copied.score.interval
    assert interval.low <= copied.score.values["accuracy"] <= interval.high


@pytest.mark.long
def test_late_knowledge_comes_with_samples_that_are_added(make, factpix, tmp_path) -> None:
    """No model is asked: the answer is in the datastore after the addition, and was not before."""
    store = tmp_path / "late"
    Datastore.build(store, list(formats.read(factpix / "samples.json", mend_ids=True)), load("hashed"))
    [before] = run(["factpix_late"], [Variant("majority", 8)], make(store=str(store)))
    assert before.score.values["accuracy"] == before.measures["retrieval"]["hit@5"] == 0
    added = list(formats.read(factpix / "late_samples.json", mend_ids=True))
    Datastore.open(store, load("hashed")).add(added)
    made = make(store=str(store), out=tmp_path / "after")
    [oracle] = run(["factpix_late"], [Variant("oracle", 1)], made)
    assert all(row["used"][0].endswith("#late") for row in log(oracle.folder))
    [after] = run(["factpix_late"], [Variant("copy", 1)], made)
    assert after.measures["retrieval"]["hit@5"] > 0


def test_a_draw_takes_all_classes_alike(make) -> None:
    [outcome] = run(["factpix"], [Variant("none", 0)], make(limit=6, spread=True))
    assert len({row["id"].split(":")[0] for row in log(outcome.folder)}) == 6
    assert json.loads((outcome.folder / "run.json").read_text())["spread"] is True


@pytest.mark.long
@pytest.mark.parametrize("use", ["perceiver", "in_prompt"])
def test_prompts_of_like_length_are_answered_together(
    make, llm_folder, camml_folder, tmp_path, use, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, lengths = (PerceiverAnswerer if use == "perceiver" else InPromptAnswerer), []
    answer = kind.answer

    def noted(self, queries, contexts, decoding=None):
        lengths.append([len(self.prompt(*pair)) for pair in zip(queries, contexts, strict=True)])
        return answer(self, queries, contexts, decoding)

    monkeypatch.setattr(kind, "answer", noted)
    model = str(camml_folder if use == "perceiver" else llm_folder)
    results = []
    for size in (1, 4):
        lengths.clear()
        made = make(model=model, batch_size=size, out=tmp_path / str(size))
        [outcome] = run(["factpix"], [Variant("retrieved", 2)], made)
        results.append((outcome.folder / "log.jsonl").read_bytes())
    flat = [length for batch in lengths for length in batch]
    assert flat == sorted(flat)
    assert len(set(flat)) > 2
    assert results[0] == results[1]


@pytest.mark.long
def test_samples_are_searched_for_once_for_all_kinds(make, monkeypatch: pytest.MonkeyPatch) -> None:
    from camml.retriever import Retriever

    asked, retrieve = [], Retriever.retrieve

    def counted(self, queries, k, where=None):
        asked.extend(queries)
        return retrieve(self, queries, k, where)

    monkeypatch.setattr(Retriever, "retrieve", counted)
    kinds = [Variant(kind, shots) for kind in ("retrieved", "shuffled", "oracle", "copy") for shots in (1, 3)]
    outcomes = run(["factpix"], kinds[:7], make())
    assert len(asked) == outcomes[0].answers == 14


def test_another_wording_is_another_prompt(make, llm_folder, tmp_path) -> None:
    for style, words in (("plain", "Question: "), ("ranked", "Best match: ")):
        made = make(model=str(llm_folder), prompt_style=style, out=tmp_path / style, limit=2)
        [outcome] = run(["factpix"], [Variant("retrieved", 1)], made)
        assert all(words in row["prompt"] for row in log(outcome.folder))
        assert json.loads((outcome.folder / "run.json").read_text())["model"]["prompt_style"] == style
