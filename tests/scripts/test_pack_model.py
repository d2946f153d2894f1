"""What a LoRA run trained, packed whole or part of the way back to where it began."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from camml.model import packed as packed_folder
from camml.model.loading import load_model
from camml.training import building, recipes
from camml.training.train import train
from tests import tiny
from tests.training import runs

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A finished LoRA run, and what it started from."""
    folder = tmp_path_factory.mktemp("run")
    arguments = runs.flags(folder / "bench", output_dir=folder / "out", tune="lora", lora_r=4, max_steps=3, seed=3)
    output = train(recipes.parse(arguments))
    torch.manual_seed(3)
    return output, building.build(recipes.parse(arguments).model)[0].state_dict()


def packed(run: Path, out: Path, keep: str, *more: str) -> dict[str, torch.Tensor]:
    sys.path.insert(0, str(SCRIPTS))
    try:
        import pack_model
    finally:
        sys.path.remove(str(SCRIPTS))
    before, sys.argv = sys.argv, ["pack_model.py", str(run), str(out), "--keep", keep, *more]
    try:
        assert pack_model.main() == (0 if 0 <= float(keep) <= 1 else 2)
    finally:
        sys.argv = before
    return load_file(out / "between.safetensors") if out.exists() else {}


@pytest.mark.long
def test_projector_and_perceivers_lie_between_their_start_and_their_end(run, tmp_path: Path) -> None:
    output, start = run
    end = load_file(output / "between.safetensors")
    moved = [name for name in end if not torch.equal(end[name], start[name])]
    assert len(moved) > 50
    for keep in (0.0, 0.25, 1.0):
        result = packed(output, tmp_path / str(keep), str(keep))
        assert {packed_folder.in_model(name) for name in result} == end.keys()
        for short, tensor in result.items():
            name = packed_folder.in_model(short)
            wanted = start[name] + keep * (end[name] - start[name])
            torch.testing.assert_close(tensor.float(), wanted, rtol=1e-2, atol=1e-5)


def test_a_run_of_before_a_flag_was_there_is_packed(run, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(run[0], old)
    record = json.loads((old / "run.json").read_text())
    del record["model"]["perceiver_run_on"]
    (old / "run.json").write_text(json.dumps(record))
    about = json.loads((old / "camml_base.json").read_text())
    del about["config"]["perceiver_run_on"]
    (old / "camml_base.json").write_text(json.dumps(about))
    packed(old, tmp_path / "out", "1")
    assert json.loads((tmp_path / "out" / "packed.json").read_text())["sizes"]["perceiver_run_on"] is False


def test_a_part_that_is_none_is_refused(run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert packed(run[0], tmp_path / "out", "1.5") == {}
    assert "--keep is 1.5" in capsys.readouterr().err


def test_a_packed_run_gives_the_logits_of_the_run(run, tmp_path: Path) -> None:
    """The matrices and what is between go the same way; 16 bits are what it costs."""
    packed(run[0], tmp_path / "out", "1")
    model, processor = load_model(tmp_path / "out")
    whole, _ = load_model(run[0])
    with torch.no_grad():
        logits = [m(**processor.prepare(["which colour"])).logits for m in (model, whole)]
    torch.testing.assert_close(*logits, rtol=0.05, atol=0.02)
    assert not torch.equal(model.state_dict()[MATRIX], run[1][MATRIX])


MATRIX = "vlm.language_model.model.layers.1.mlp.up_proj.weight"


def test_how_samples_are_found_is_taken_along(run, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "maps.safetensors").write_bytes(b"maps")
    about = {"encoder": "mini", "encoder_options": {"heads": "maps.safetensors"}, "mode": "fused", "shots": 3}
    (model / "retrieval.json").write_text(json.dumps(about))
    packed(run[0], tmp_path / "with", "1", "--retrieval", str(model))
    told = json.loads((tmp_path / "with" / "packed.json").read_text())["retrieval"]
    assert told == about | {"passages": "auto", "margin": None}
    assert (tmp_path / "with" / "maps.safetensors").read_bytes() == b"maps"
    packed(run[0], tmp_path / "without", "1")
    assert json.loads((tmp_path / "without" / "packed.json").read_text())["retrieval"] == {}


def test_files_are_readable_as_the_umask_says(run, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        packed(run[0], tmp_path / "out", "1")
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "out").iterdir()} == {"0o640"}
    assert oct((tmp_path / "out").stat().st_mode & 0o777) == "0o750"


@pytest.mark.long
def test_what_its_processor_does_otherwise_than_usual_is_packed(tmp_path: Path) -> None:
    more = {"image_aspect_ratio": "keep", "thinking": True, "tune": "lora", "lora_r": 4, "max_steps": 1}
    output = train(recipes.parse(runs.flags(tmp_path / "bench", output_dir=tmp_path / "out", **more)))
    packed(output, tmp_path / "packed", "1")
    told = json.loads((tmp_path / "packed" / "packed.json").read_text())
    assert (told["image_aspect_ratio"], told["thinking"]) == ("keep", True)
    for folder in (output, tmp_path / "packed"):
        _, processor = load_model(folder)
        assert (processor.processor.image_aspect_ratio, processor.thinking) == ("keep", True)
    _, processor = load_model(tmp_path / "packed", thinking=False)
    assert not processor.thinking


def test_what_is_as_usual_is_not_written_down(run, tmp_path: Path) -> None:
    """So such a folder can be averaged with those of before."""
    packed(run[0], tmp_path / "out", "1")
    told = json.loads((tmp_path / "out" / "packed.json").read_text())
    assert not told.keys() & {"image_aspect_ratio", "thinking"}
    _, processor = load_model(tmp_path / "out")
    assert (processor.processor.image_aspect_ratio, processor.thinking) == ("pad", False)


@pytest.mark.long
@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_biases_that_were_trained_are_packed(bias: str, tmp_path: Path) -> None:
    arguments = runs.flags(tmp_path / "bench", output_dir=tmp_path / "out")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(tiny.text_config("qwen2")).save_pretrained(tmp_path / "bench" / "language")
    more = ["--tune", "lora", "--lora_r", "4", "--lora_bias", bias, "--max_steps", "2", "--learning_rate", "0.1"]
    output = train(recipes.parse([*arguments, *more]))
    between = packed(output, tmp_path / "packed", "1")
    assert not between.keys() & load_file(tmp_path / "packed" / "lora.safetensors").keys(), "--keep has no effect"
    model, whole = (load_model(folder)[0].state_dict() for folder in (tmp_path / "packed", output))
    name = "vlm.language_model.model.layers.0.self_attn.k_proj.bias"
    before = AutoModelForCausalLM.from_pretrained(tmp_path / "bench" / "language").state_dict()
    assert not torch.equal(whole[name], before[name.removeprefix("vlm.language_model.")])
    for tensor, other in zip(model.values(), whole.values(), strict=True):
        torch.testing.assert_close(tensor, other, rtol=2e-2, atol=1e-2)
