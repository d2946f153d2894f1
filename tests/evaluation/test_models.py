"""What identifies a model in a run."""

import json
from pathlib import Path

import pytest

from camml.errors import FetchError
from camml.evaluation.contexts import Variant
from camml.evaluation.files import read_json
from camml.evaluation.fingerprints import Fingerprints
from camml.evaluation.models import Model
from camml.evaluation.run import run
from camml.evaluation.shares import Share
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
    tiny.model().vision_tower.save_pretrained(tower)
    told = identity(packed(tmp_path / "packed", llm_folder, tower))
    assert told["bases"] == {"language_model": tensors_hash(llm_folder), "vision_tower": tensors_hash(tower)}
    assert told["base_sources"] == {"language_model": "a folder", "vision_tower": "a folder"}
    tiny.model(seed=1).vision_tower.save_pretrained(tower)
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


def test_a_whole_model_has_no_bases(options) -> None:
    [outcome] = run(["gqa"], [Variant("none", 0)], options(store=None))
    assert "bases" not in read_json(outcome.folder / "run.json")["model"]
