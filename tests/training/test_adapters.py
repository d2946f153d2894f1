"""LoRA and QLoRA: trained, resumed, merged."""

import json
import shutil
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoModel, AutoModelForCausalLM

from camml.cli import main
from camml.errors import DiskError, ModelFolderError, OptionError
from camml.model import CamMLConfig, CamMLForConditionalGeneration, CamMLProcessor, lora
from camml.model.loading import load_model, merge
from camml.model.retrieval_settings import FILE, settings_of
from camml.training import adapters, building, recipes
from camml.training.arguments import ModelArguments
from camml.training.train import train
from tests.training import runs


def adapters_base(arguments: list[str]) -> ModelArguments:
    """What a run starts from, unquantised."""
    result = recipes.parse(arguments).model
    result.tune, result.bits = "lora", 16
    return result


@pytest.mark.long
@pytest.mark.parametrize("tune", ["lora", "qlora"])
def test_the_merged_model_gives_the_same_logits(tune: str, bench: Path, tmp_path: Path) -> None:
    if tune == "qlora" and find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    more = {"tune": tune, "lora_r": 4, "learning_rate": 1e-2, "max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    arguments = runs.flags(bench, output_dir=tmp_path / "out", **more, gradient_checkpointing=True)
    output = train(recipes.parse(arguments))
    assert main(["merge", str(output), str(tmp_path / "merged"), "--json"]) == 0
    config, base = (
        CamMLConfig.from_pretrained(tmp_path / "merged"),
        json.loads((output / lora.BASE).read_text())["base"],
    )
    apart = PeftModel.from_pretrained(lora._started_from(base, config, torch.float32), output).eval()
    lora.load_added(apart, output)
    matrices = [p for name, p in apart.named_parameters() if "lora_B" in name]
    assert len(matrices) == 14
    assert all(matrix.abs().max() > 0 for matrix in matrices)
    torch.manual_seed(42)  # that of the run
    start = building.build(adapters_base(arguments))[0].state_dict()
    after = {name: apart.base_model.model.state_dict()[name] for name in lora.added(start)}
    assert len(after) > 50
    unchanged = {name for name, value in after.items() if torch.equal(value, start[name])}
    assert not {name for name in unchanged if name.endswith("weight") and "cross" not in name}
    merged = CamMLForConditionalGeneration.from_pretrained(tmp_path / "merged")
    processor = CamMLProcessor.from_pretrained(tmp_path / "merged")
    inputs = processor.prepare(["which colour", "what"], [bench / "picture-0.png", None])
    with torch.no_grad():
        torch.testing.assert_close(merged(**inputs).logits, apart(**inputs).logits, rtol=1e-5, atol=1e-5)
    assert not list(output.glob("model*.safetensors"))
    if tune == "lora":
        before = runs.losses(output)
        (output / "checkpoint-4").rename(tmp_path / "away")
        train(recipes.parse(arguments))
        assert runs.losses(output) == pytest.approx(before, rel=1e-5)


@pytest.mark.long
def test_in_16_bits_no_input_is_cast_twice_and_the_losses_are_the_same(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    more = {"tune": "lora", "lora_r": 4, "lora_dropout": 0.0, "max_steps": 3, "bf16": True}
    more |= {"save_strategy": "steps", "save_steps": 3}
    casts = []
    real = BaseTunerLayer._cast_input_dtype

    def counted(self: BaseTunerLayer, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        result = real(self, x, dtype)
        casts.append(result.dtype != x.dtype)
        return result

    monkeypatch.setattr(BaseTunerLayer, "_cast_input_dtype", counted)
    without = runs.losses(train(recipes.parse(runs.flags(bench, output_dir=tmp_path / "without", **more))))
    assert casts
    assert not any(casts)
    monkeypatch.setattr(adapters, "without_casts", lambda *_: nullcontext())
    assert runs.losses(train(recipes.parse(runs.flags(bench, output_dir=tmp_path / "with", **more)))) == without
    assert any(casts)


def test_what_cannot_be_merged_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="neither a packed model nor the folder of a LoRA run"):
        merge(tmp_path, tmp_path / "out")
    (tmp_path / lora.ADAPTER).write_text('{"r": 2, "lora_alpha": 4}')
    (tmp_path / lora.BASE).write_text("{}")
    with pytest.raises(OptionError, match="bfloat16"):
        merge(tmp_path, tmp_path / "out", "int3")
    with pytest.raises(ModelFolderError, match=f"{lora.BASE} or {lora.ADAPTER} cannot be used"):
        merge(tmp_path, tmp_path / "out")
    about = {"base": {"vlm": str(tmp_path / "gone")}, "config": {}}
    (tmp_path / lora.BASE).write_text(json.dumps(about))
    with pytest.raises(ModelFolderError, match=f"gone.*{lora.BASE}"):
        merge(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_whole_model_is_said_to_be_one(bench: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="language is a whole model, neither packed nor a LoRA run"):
        merge(bench / "language", tmp_path / "out")


def test_a_place_that_cannot_be_written_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / lora.ADAPTER).touch()
    (tmp_path / lora.BASE).touch()
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ModelFolderError, match="link is there already"):
        merge(tmp_path, tmp_path / "link")
    with pytest.raises(DiskError, match="a file is where a folder is needed; give another place"):
        merge(tmp_path, tmp_path / lora.BASE / "out")


@pytest.mark.long
def test_a_merged_model_is_trained_further_loaded_as_a_run_and_merged_again(bench: Path, tmp_path: Path) -> None:
    more = {"tune": "lora", "lora_r": 4, "learning_rate": 1e-2, "max_steps": 2}
    train(recipes.parse(runs.flags(bench, output_dir=tmp_path / "first", **more)))
    merge(tmp_path / "first", tmp_path / "merged")
    (tmp_path / "merged" / FILE).write_text(json.dumps({"encoder": "hashed", "shots": 3}))
    start = {"model_name_or_path": tmp_path / "merged", "vision_tower": None}
    train(recipes.parse(runs.flags(bench, output_dir=tmp_path / "second", **more, **start)))
    merge(tmp_path / "second", tmp_path / "again")
    logits = []
    for name in ("merged", "second", "again"):
        model, processor = load_model(tmp_path / name)
        inputs = processor.prepare(["which colour", "what"], [bench / "picture-0.png", None])
        with torch.no_grad():
            logits.append(model(**inputs).logits)
        assert settings_of(tmp_path / name).shots == 3, "what trains on keeps to the samples it is given"
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)
    torch.testing.assert_close(logits[1], logits[2])


@pytest.mark.long
def test_a_run_loads_in_the_precision_of_its_base_or_the_one_asked_for(bench: Path, tmp_path: Path) -> None:
    for part, kind in (("language", AutoModelForCausalLM), ("tower", AutoModel)):
        shutil.copytree(bench / part, tmp_path / part)
        kind.from_pretrained(bench / part, dtype=torch.bfloat16).save_pretrained(tmp_path / part)
    more = {"tune": "lora", "lora_r": 4, "max_steps": 1, "model_name_or_path": tmp_path / "language"}
    train(recipes.parse(runs.flags(bench, output_dir=tmp_path / "run", vision_tower=tmp_path / "tower", **more)))
    own, _ = load_model(tmp_path / "run")
    exact, _ = load_model(tmp_path / "run", dtype="float32")
    assert {parameter.dtype for parameter in own.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in exact.parameters()} == {torch.float32}
    for name, parameter in own.named_parameters():
        assert torch.equal(parameter, exact.get_parameter(name).bfloat16()), name
