"""What identifies a model in a run."""

import json
import shutil
from pathlib import Path

import pytest

from camml import encoders
from camml.cli import main
from camml.datastore import Datastore
from camml.errors import EncoderMismatchError, FetchError, ModelFolderError
from camml.evaluation.contexts import Variant
from camml.evaluation.files import read_json
from camml.evaluation.fingerprints import Fingerprints
from camml.evaluation.models import Model
from camml.evaluation.run import run
from camml.evaluation.shares import Share
from camml.types import Sample
from camml.weights import tensors_hash
from tests import tiny


def packed(folder: Path, language_model: Path, tower: Path) -> Path:
    """A folder that names its base weights as packed models do; nothing of it is loaded here."""
    folder.mkdir()
    about = {"language_model": str(language_model), "vision_tower": str(tower), "sizes": {}, "lora_scale": 1.0}
    (folder / "packed.json").write_text(json.dumps(about))
    return folder


def identity(folder: Path) -> dict:
    return dict(Model(str(folder), "perceiver", None, "cpu", None, Fingerprints(), Share(0, 1)).identity)


def test_a_packed_model_is_identified_by_the_weights_below_it(llm_folder, tmp_path) -> None:
    """The same name may stand for the hub's numbers today and for a wheel's tomorrow, and the answers differ."""
    tower = tmp_path / "tower"
    tiny.model().vlm.vision_tower.save_pretrained(tower)
    told = identity(packed(tmp_path / "packed", llm_folder, tower))
    assert told["bases"] == {"language_model": tensors_hash(llm_folder), "vision_tower": tensors_hash(tower)}
    assert told["base_sources"] == {"language_model": "a folder", "vision_tower": "a folder"}
    tiny.model(seed=1).vlm.vision_tower.save_pretrained(tower)
    again = identity(tmp_path / "packed")
    assert again["bases"]["vision_tower"] != told["bases"]["vision_tower"]
    assert again["hash"] == told["hash"]


def test_a_packed_model_that_pins_another_base_is_refused_before_anything_runs(llm_folder, tmp_path) -> None:
    folder = packed(tmp_path / "packed", llm_folder, llm_folder)
    about = json.loads((folder / "packed.json").read_text())
    right = tensors_hash(llm_folder)
    pins = {"language_model": right, "vision_tower": right}
    (folder / "packed.json").write_text(json.dumps(about | {"base_sha256": pins}))
    assert identity(folder)["bases"] == pins
    (folder / "packed.json").write_text(json.dumps(about | {"base_sha256": pins | {"vision_tower": "f" * 64}}))
    with pytest.raises(FetchError, match=f"made on weights with the SHA-256 {'f' * 16}, and here are {right[:16]}"):
        identity(folder)


def test_a_lora_run_is_identified_by_the_weights_below_it(camml_folder, tmp_path) -> None:
    base, folder = tmp_path / "base", tmp_path / "run"
    shutil.copytree(camml_folder, base)
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"lora_alpha": 8, "r": 4}')
    (folder / "camml_base.json").write_text(json.dumps({"base": {"camml": str(base)}, "config": {}}))
    told = identity(folder)
    assert told["bases"] == {"camml": tensors_hash(base)}
    tiny.model(seed=1).save_pretrained(base)
    again = identity(folder)
    assert again["bases"]["camml"] != told["bases"]["camml"]
    assert again["hash"] == told["hash"]
    (folder / "camml_base.json").write_text("{}")
    with pytest.raises(ModelFolderError, match=r"camml_base\.json cannot be used"):
        identity(folder)
    (folder / "camml_base.json").write_text(json.dumps({"base": {"camml": str(tmp_path / "gone")}, "config": {}}))
    with pytest.raises(ModelFolderError, match="which is not there; write into"):
        identity(folder)


def test_a_whole_model_has_no_bases(options) -> None:
    [outcome] = run(["gqa"], [Variant("none", 0)], options(store=None))
    assert "bases" not in read_json(outcome.folder / "run.json")["model"]


@pytest.fixture
def wanting(camml_folder: Path, tmp_path: Path) -> Path:
    """A model whose folder says how its samples are found."""
    shutil.copytree(camml_folder, tmp_path / "wanting")
    wanted = {"encoder": "hashed", "encoder_options": {"dim": 32}, "mode": "text-text"}
    (tmp_path / "wanting" / "retrieval.json").write_text(json.dumps(wanted))
    return tmp_path / "wanting"


def test_a_datastore_that_does_not_fit_the_model_is_refused_unless_its_encoder_is_named(wanting, tmp_path) -> None:
    samples = [Sample("a", "one"), Sample("b", "two")]
    Datastore.build(tmp_path / "other", samples, encoders.load("hashed"))
    Datastore.build(tmp_path / "fits", samples, encoders.load("hashed", dim=32), encoder_options={"dim": 32})
    model = Model(str(wanting), None, None, "cpu", None, Fingerprints(), Share(0, 1))
    assert model.mode == "text-text"
    model.check_store(str(tmp_path / "fits"), None)
    model.check_store(str(tmp_path / "other"), "hashed")
    with pytest.raises(EncoderMismatchError, match="--encoder hashed"):
        model.check_store(str(tmp_path / "other"), None)


def test_neighbors_are_found_as_the_model_that_learns_from_them_wants(wanting, tmp_path, capsys) -> None:
    samples = [Sample("a", "one"), Sample("b", "two")]
    Datastore.build(tmp_path / "other", samples, encoders.load("hashed"))
    rows = [{"id": "q", "conversations": [{"from": "human", "value": "one?"}, {"from": "gpt", "value": "1"}]}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    command = ["neighbors", str(tmp_path / "rows.json"), str(tmp_path / "other"), str(tmp_path / "out"), "--k", "1"]
    assert main([*command, "--model", str(wanting)]) == 2
    assert "--encoder hashed" in capsys.readouterr().err
    assert main([*command, "--model", str(wanting), "--encoder", "hashed", "--json"]) == 0
    assert '"text-text"' in "".join(path.read_text() for path in (tmp_path / "out").glob("*.json"))
