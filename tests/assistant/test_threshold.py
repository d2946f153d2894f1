"""Whether what was found is near enough to answer from, and what is done where it is not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from camml import assistant, encoders
from camml.answering import Decoding
from camml.assistant.threshold import Threshold
from camml.datastore import Calibration, Datastore, save_calibration
from camml.datastore.calibration import Least
from camml.errors import OptionError
from camml.types import Neighbor, Sample
from tests import tiny

SHORT = Decoding(max_new_tokens=3)
NEAR = Neighbor(Sample("a", "text"), 0.8, found_by="image-image")
FAR = Neighbor(Sample("b", "text"), 0.4, found_by="text-text")
CALIBRATION = Calibration("e 1", 0.05, 100, {"image-image": Least(0.7, 30, 0.0), "text-text": Least(0.5, 30, 0.0)})


def test_the_first_sample_decides_by_the_search_that_found_it() -> None:
    assert CALIBRATION.weakness((NEAR, FAR)) == ""
    said = CALIBRATION.weakness((FAR, NEAR))
    assert "'b'" in said
    assert "0.400" in said
    assert "in text-text, below its threshold of 0.500" in said


def test_of_samples_found_by_one_search_the_best_score_decides() -> None:
    # patches put another one first, whose whole picture is less alike
    assert CALIBRATION.weakness((replace(NEAR, score=0.6, likeness=0.9), NEAR)) == ""
    assert "'b'" in CALIBRATION.weakness((replace(FAR, score=0.3), FAR))


def test_what_nobody_measured_is_near_enough() -> None:
    assert CALIBRATION.weakness(()) == ""
    assert CALIBRATION.weakness((Neighbor(Sample("c", "t"), 0.01),)) == ""
    assert Threshold(None, None, "refuse").weakness((FAR,)) == ""


def test_a_score_by_hand_is_that_of_the_best() -> None:
    assert Threshold(0.7, CALIBRATION, "refuse").weakness((FAR, NEAR)) == ""
    assert "best score is 0.800" in Threshold(0.9, None, "refuse").weakness((FAR, NEAR))
    assert "below the minimum of 0.9" in Threshold(0.9, None, "refuse").weakness((FAR, NEAR))


@pytest.mark.parametrize(("least", "calibration"), [(-1.0, None), (None, CALIBRATION), (None, None)])
def test_where_nothing_was_let_through_there_is_nothing_to_answer_from(least, calibration) -> None:
    said = "there is no sample to answer from: `where` lets none through that can be searched"
    assert Threshold(least, calibration, "refuse").weakness(()) == said


@pytest.fixture
def store(tmp_path: Path) -> Path:
    Datastore.build(tmp_path / "store", tiny.samples(tmp_path), encoders.load("hashed"))
    return tmp_path / "store"


class TestAsking:
    def test_too_weak_evidence_is_refused_and_shown(self, camml_folder: Path, store: Path) -> None:
        answer = assistant.load(camml_folder).open(store, min_score=1.0).ask("zebra", decoding=SHORT, shots=2)
        assert (answer.refused, answer.text) == (True, "not in the samples")
        assert "no sample is near enough" in answer.reason
        assert len(answer.evidence) == 2
        assert answer.new_tokens == 0

    def test_a_refusal_does_not_load_the_model(self, camml_folder: Path, store: Path) -> None:
        model = assistant.load(camml_folder)
        assert model.open(store, min_score=1.0).ask("zebra").refused
        assert "answerer" not in vars(model)

    def test_the_model_may_answer_without_samples(self, camml_folder: Path, store: Path) -> None:
        model = assistant.load(camml_folder)
        answer = model.open(store, min_score=1.0, fallback="model").ask("zebra", decoding=SHORT)
        assert not answer.refused
        assert answer.evidence == ()
        assert answer.text == model.ask("zebra", decoding=SHORT).text
        assert answer.notes[-1].startswith("answered without samples: no sample is near enough")

    def test_near_evidence_is_answered_from(self, camml_folder: Path, store: Path) -> None:
        answer = assistant.load(camml_folder).open(store, min_score=0.99).ask("a red square", decoding=SHORT)
        assert not answer.refused
        assert answer.evidence[0].sample.id == "red"

    def test_samples_far_behind_the_nearest_are_not_read(self, camml_folder: Path, store: Path, tmp_path: Path) -> None:
        wanting = shutil.copytree(camml_folder, tmp_path / "wanting")
        (wanting / "retrieval.json").write_text(json.dumps({"encoder": "hashed", "shots": 3, "margin": 0.0}))
        model, image = assistant.load(wanting), tmp_path / "red.png"
        collection = model.open(store)
        assert len(collection.search("what", image, k=3)) == 3
        assert [neighbor.sample.id for neighbor in collection.ask("what", image, decoding=SHORT).evidence] == ["red"]
        every = model.open(store, margin=float("inf"))
        assert len(every.ask("what", image, decoding=SHORT).evidence) == 3

    def test_a_calibration_beside_the_datastore_is_used(self, camml_folder: Path, store: Path, tmp_path: Path) -> None:
        datastore, model = Datastore.open(store), assistant.load(camml_folder)
        record = datastore.manifest.encoder
        calibration = Calibration(f"{record.name} {record.revision}", 0.05, 4, {"text-text": Least(1.01, 30, 0.0)})
        save_calibration(datastore, calibration)
        assert model.open(store).ask("a red square", decoding=SHORT).refused
        assert not model.open(store, min_score=-1).ask("a red square", decoding=SHORT).refused
        moved = shutil.copytree(store, tmp_path / "other")
        content = json.loads((moved / "calibration.json").read_text())
        (moved / "calibration.json").write_text(json.dumps(content | {"encoder": "another 1"}))
        assert not model.open(moved).ask("a red square", decoding=SHORT).refused

    def test_a_filter_that_lets_nothing_through_is_refused(self, camml_folder: Path, store: Path) -> None:
        def nothing(sample: Sample) -> bool:
            return False

        model = assistant.load(camml_folder)
        for options in ({}, {"min_score": 0.1}):
            answer = model.open(store, **options).ask("a red square", where=nothing, decoding=SHORT)
            assert (answer.refused, answer.evidence, answer.new_tokens) == (True, (), 0)
            assert "`where` lets none through" in answer.reason
        free = model.open(store, fallback="model").ask("a red square", where=nothing, decoding=SHORT)
        assert (free.refused, free.notes[-1][:24]) == (False, "answered without samples")

    def test_what_the_model_itself_refuses_is_said(self, camml_folder: Path, store: Path, monkeypatch) -> None:
        collection = assistant.load(camml_folder).open(store)
        [ready] = collection.ready(*asked(collection))
        from camml.assistant import Answer
        from camml.types import Prediction

        said = Answer.of(ready, Prediction("Not in the samples.", ready.context))
        assert (said.refused, said.reason) == (True, "the model found no answer in the samples")
        assert not Answer.of(ready, Prediction("a red square", ready.context)).refused


def asked(collection):
    from camml.types import Query

    queries = [Query("a red square")]
    return queries, collection.find(queries, 2)


@pytest.mark.parametrize(("options", "said"), [
    ({"fallback": "guess"}, "refuse, model"), ({"min_score": 3}, "cosines"), ({"margin": -1}, "0 or more"),
    ({"margin": float("nan")}, "0 or more"),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(store: Path, camml_folder: Path, options, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        assistant.load(camml_folder).open(store, **options)
