"""OwnPix from questions to measures, without a model."""

import json
from pathlib import Path

import pytest

from camml import formats
from camml.datastore import Datastore
from camml.encoders import load
from camml.errors import SampleError
from camml.evaluation.contexts import Variant
from camml.evaluation.run import run
from camml.evaluation.task import find
from tests.ownpix_layout import write_ownpix


@pytest.fixture
def ownpix(tmp_path: Path) -> Path:
    """OwnPix, and a datastore of its samples in `store`."""
    folder = tmp_path / "ownpix"
    write_ownpix(folder)
    Datastore.build(folder / "store", list(formats.read(folder / "samples.json")), load("hashed"))
    return folder


@pytest.mark.parametrize("name", ["ownpix_short", "ownpix_long", "ownpix_unanswerable", "ownpix_validation"])
def test_the_nearest_ones_fact_is_right_where_the_nearest_is(name: str, ownpix: Path, options) -> None:
    made = options(data=ownpix, store=str(ownpix / "store"), mode="image-image", retrieved=3, model="no such model")
    [outcome] = run([name], [Variant("copy", 1)], made)
    assert outcome.measures["retrieval"]["hit@1"] == 100
    assert outcome.score.values["accuracy"] == 100
    refused = outcome.score.values["refused/rightly" if name == "ownpix_unanswerable" else "refused/wrongly"]
    assert refused == (100 if name == "ownpix_unanswerable" else 0)


def test_a_wrong_sample_that_has_the_field_is_no_refusal(ownpix: Path) -> None:
    task = find("ownpix_unanswerable")
    item = next(item for item in task.read(ownpix) if "/saw/" in item.id)
    pan, _, saw = formats.read(ownpix / "samples.json")
    assert task.knowledge is not None
    assert task.knowledge.says(item, pan) == "2 kg"
    assert task.knowledge.says(item, saw) == "not in the samples"
    assert task.knowledge.right(item, saw)
    assert not task.knowledge.right(item, pan)


def test_bad_questions_say_how_to_build_them(ownpix: Path) -> None:
    records = json.loads((ownpix / "short.json").read_text())
    (ownpix / "short.json").write_text(json.dumps([{**records[0], "meta": None}]))
    with pytest.raises(SampleError, match="build the data again with `camml bench-data build --set ownpix"):
        find("ownpix_short").read(ownpix)
