"""What a dry run says, and that it is true."""

from pathlib import Path

import pytest
import torch

from camml.cli import main
from camml.errors import SampleError
from camml.training import building, dry_run, memory, recipes, tuning
from camml.training.train import prepare
from tests import tiny
from tests.training import runs


def test_shows_rows_parameters_and_memory(bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    flags = runs.flags(bench, output_dir=out, dry_run=True, fp16=True, deepspeed="zero3.json")
    assert main(["train", *flags]) == 0
    text = capsys.readouterr().out
    assert "12 samples, 8 with an image" in text
    assert "<context x 6>" in text
    assert "<image x 16>" in text
    assert "⟦colour 0<|end|>⟧" in text
    assert "context row-1: " in text
    assert text.count("⟦") >= 3
    assert "9,376               0" in text
    assert "8 processes: " in text
    assert not out.exists()


def test_finds_what_a_run_would_stop_at(bench: Path) -> None:
    with pytest.raises(SampleError, match="--model_max_length"):
        dry_run.report(recipes.parse(runs.flags(bench, dry_run=True, model_max_length=60)))


@pytest.mark.long
@pytest.mark.parametrize("tune", ["full", "perceiver", "projector", "lora"])
def test_the_estimate_is_what_a_run_allocates(bench: Path, tmp_path: Path, tune: str) -> None:
    flags = runs.flags(bench, output_dir=tmp_path / "out", tune=tune, max_steps=1, lora_r=4)
    settings = recipes.parse(flags)
    sketched, _ = building.sketch(settings.model)
    counts = tuning.count_parameters(tuning.freeze(sketched, settings.model))
    guess = memory.estimate(settings, sketched.config, counts, tokens=100, processes=1)
    trainer = prepare(settings)
    gradients: list[int] = []
    hooks = [
        p.register_post_accumulate_grad_hook(lambda p: gradients.append(p.grad.numel() * p.grad.element_size()))
        for p in trainer.model.parameters()
        if p.requires_grad
    ]
    trainer.train()
    for hook in hooks:
        hook.remove()
    weights = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
    state = [value for entry in trainer.optimizer.state.values() for value in entry.values() if value.dim()]
    optimizer = sum(value.numel() * value.element_size() for value in state)
    assert guess.weights == weights
    assert guess.gradients == sum(gradients)
    assert guess.optimizer == optimizer


def test_sharding_divides_what_it_shards() -> None:
    base = ["--model_name_or_path", "m", "--data_path", "d", "--icl_num", "0", "--dry_run", "True", "--bf16", "True"]

    def at(*more: str, processes: int = 4) -> memory.Estimate:
        return memory.estimate(recipes.parse([*base, *more]), tiny.config(), {"all": (100, 100)}, 7, processes)

    alone, two, three = at("--deepspeed", "zero2", processes=1), at("--deepspeed", "zero2"), at("--deepspeed", "zero3")
    # Source: ZeRO (2020), section 3.1: 2, 2 and 12 bytes a parameter with Adam in mixed precision
    assert (alone.weights, alone.gradients, alone.optimizer) == (200, 200, 1200)
    assert (two.weights, two.gradients, two.optimizer) == (200, 50, 300)
    assert (three.weights, three.gradients, three.optimizer) == (50, 50, 300)
    assert at("--gradient_checkpointing", "True").activations < at().activations


@pytest.mark.parametrize("queries", [8, 64])
def test_activations_of_the_perceivers_are_estimated_roughly(queries: int) -> None:
    base = ["--model_name_or_path", "m", "--data_path", "d", "--neighbors", "n", "--output_dir", "o"]
    sizes = {"perceiver_queries": queries, "perceiver_hidden_size": 64, "perceiver_intermediate_size": 256}
    settings = tiny.config(**sizes, perceiver_dropout=0.0)  # with dropout a CPU keeps the attention matrices
    rows, shots = 2, 3
    model = tiny.model(settings).train()
    model.requires_grad_(False)
    model.context_perceiver.requires_grad_(True)
    ids = torch.randint(10, 300, (rows, shots, memory.SAMPLE_TOKENS))
    images = {"pixel_values": torch.randn(rows * shots, 3, 28, 28), "image_counts": torch.full((rows, shots), 16)}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        context = model.embed_context(ids, torch.ones_like(ids), **images)
    measured = sum(size for place, size in kept.items() if place not in weights)
    assert context.requires_grad

    def guess(*more: str) -> float:
        run = recipes.parse([*base, "--per_device_train_batch_size", str(rows), *more])
        return memory.estimate(run, settings, {"all": (100, 100)}, 7, 1).activations

    without, estimated = guess("--icl_num", "0"), guess("--icl_num", str(shots))
    assert measured / 1.5 < estimated - without < measured * 1.5
    checked = "--gradient_checkpointing", "True"
    assert guess("--icl_num", "3", *checked) - guess("--icl_num", "0", *checked) < (estimated - without) / 1.5


def test_quantised_weights_are_counted_as_what_they_stand_for(bench: Path) -> None:
    pytest.importorskip("bitsandbytes")
    settings = recipes.parse(runs.flags(bench, tune="qlora"))
    model, _ = building.build(settings.model, dtype=torch.float32)
    plain, _ = building.sketch(settings.model)
    assert tuning.count_parameters(model)["language_model"][0] == tuning.count_parameters(plain)["language_model"][0]
