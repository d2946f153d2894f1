"""From which score on samples have something to do with a question."""

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camml import encoders
from camml.datastore import Datastore, calibrate, calibration_of, save_calibration
from camml.encoders import Encoder
from camml.errors import OptionError, StoreCorruptedError, StoreError
from camml.types import Sample

KINDS = ("pump", "valve", "motor", "lathe")


def samples(count: int) -> list[Sample]:
    """Records of machines, each with a name of its own among words that many have."""
    rng = random.Random(1)
    return [
        Sample(f"m{n}", f"Machine m{n} is a {rng.choice(KINDS)} in hall {rng.randrange(9)} and needs part {n * 37}.")
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return encoders.load("hashed", dim=256)


@pytest.fixture(scope="module")
def store(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Datastore:
    return Datastore.build(tmp_path_factory.mktemp("calibration") / "store", samples(80), encoder)


def test_questions_about_what_is_there_pass_and_those_of_strangers_do_not(store: Datastore, encoder: Encoder) -> None:
    calibration = calibrate(store, encoder)
    least = calibration.searches["text-text"]
    assert calibration.searches.keys() == {"text-text"}  # there are no pictures
    assert (calibration.samples, least.own) == (80, 80)
    vectors = encoder.embed_texts([f"machine m{n} hall part {n * 37}" for n in range(80)])
    nearest = np.array([context[0].score for context in store.search(vectors, "text", 1)])
    assert (nearest < least.score).mean() <= 0.1
    strangers = encoder.embed_texts(["zebras graze quietly", "the opera opens late", "who wrote that novel"])
    assert all(context[0].score < least.score for context in store.search(strangers, "text", 1))


def test_more_refusals_allowed_give_a_higher_score(store: Datastore, encoder: Encoder) -> None:
    strict, lax = (calibrate(store, encoder, false_refusals=rate).searches["text-text"] for rate in (0.3, 0.02))
    assert strict.score > lax.score
    assert strict.strangers <= lax.strangers


def test_it_is_kept_beside_the_datastore_and_the_same_again(store: Datastore, encoder: Encoder) -> None:
    calibration = calibrate(store, encoder, most=40, seed=3)
    assert save_calibration(store, calibration).name == "calibration.json"
    assert calibration_of(Datastore.open(str(store.path))) == calibration == calibrate(store, encoder, most=40, seed=3)


def test_damage_is_named_with_the_remedy(store: Datastore, encoder: Encoder) -> None:
    file = save_calibration(store, calibrate(store, encoder))
    file.write_text("{")
    with pytest.raises(StoreCorruptedError, match="camml store calibrate"):
        calibration_of(store)
    file.unlink()
    assert calibration_of(store) is None


def test_too_few_samples_and_odd_rates_are_refused(store: Datastore, encoder: Encoder, tmp_path: Path) -> None:
    few = Datastore.build(tmp_path / "few", samples(23), encoder)
    with pytest.raises(StoreError, match="holds 23 samples, and it takes 24"):
        calibrate(few, encoder)
    for rate in (0, 0.6):
        with pytest.raises(OptionError, match="false refusals"):
            calibrate(store, encoder, false_refusals=rate)


@pytest.mark.parametrize("most", [0, 10, 23])
def test_too_few_samples_to_look_at_are_refused(store: Datastore, encoder: Encoder, most: int) -> None:
    with pytest.raises(OptionError, match=rf"only {most} samples.*it takes 24.*--samples \(in Python `most`\)"):
        calibrate(store, encoder, most=most)


def test_a_datastore_of_which_nothing_can_be_measured_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    alike = [Sample(f"m{n}", "", tmp_path / "red.png") for n in range(30)]
    with pytest.raises(StoreError, match="no search can be measured"):
        calibrate(Datastore.build(tmp_path / "alike", alike, encoder), encoder)


def test_pictures_are_compared_with_the_nearest_other_one(tmp_path: Path) -> None:
    from tests import tiny

    rng = random.Random(2)
    made = []
    for n in range(30):
        shade = (rng.randrange(180, 255), rng.randrange(60), rng.randrange(60))
        made.append(Sample(f"r{n}", f"red thing {n}", tiny.image(tmp_path, f"r{n}", shade)))
    encoder = encoders.load("hashed", joint=True)
    store = Datastore.build(tmp_path / "pictures", made, encoder)
    calibration = calibrate(store, encoder)
    assert calibration.searches.keys() >= {"text-text", "text-image"}
    pictures = calibration.searches.get("image-image")
    assert pictures is None or 0 < pictures.score <= 1
