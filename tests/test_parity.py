"""The official checkpoints give what the official code gave."""

import json
from pathlib import Path

import pytest

from tests import parity
from tests.fork_server import ForkServer


@pytest.mark.parametrize("name", ["camml_linear", "camml_mlp2x", "imagebind_tiny"])
def test_reference_results_are_met(golden: Path, name: str) -> None:
    result = parity.compare(golden / name)
    assert result["ok"], result


@pytest.mark.parametrize("name", ["camml_linear", "camml_mlp2x", "imagebind_tiny"])
def test_reference_results_are_met_at_every_position(shared_golden: Path, name: str) -> None:
    result = parity.compare(shared_golden / name)
    assert result["ok"], result


@pytest.mark.long
def test_the_command_prints_one_json_object(golden: Path, programs: ForkServer) -> None:
    done = programs.run(parity.__file__, golden / "camml_linear")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_a_changed_weight_is_noticed(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = parity.CamMLForConditionalGeneration.from_pretrained

    def louder(folder: Path) -> object:
        model = load(folder)
        model.context_perceiver.context_perceiver.layers[0].contract.weight.data *= 1.1
        return model

    monkeypatch.setattr(parity.CamMLForConditionalGeneration, "from_pretrained", louder)
    assert not parity.compare(golden / "camml_linear")["ok"]


@pytest.mark.long
def test_a_folder_without_expectations_is_exit_code_2(tmp_path: Path, programs: ForkServer) -> None:
    done = programs.run(parity.__file__, tmp_path)
    assert done.returncode == 2
    assert "cannot be compared" in done.stderr
    assert "Traceback" not in done.stderr
