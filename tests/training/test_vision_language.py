"""Runs that start from a vision-language model: its own processor and chat template, perceivers added."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from camml.cli import main
from camml.errors import OptionError
from camml.model import CamMLForConditionalGeneration, lora
from camml.model.loading import load_model
from camml.training import building, recipes, tuning
from camml.training.train import prepare, train
from tests import families
from tests.training import runs

KINDS = ["llava", "llava_next", "qwen2_5_vl", "smolvlm", "gemma3", "internvl", "glm4v"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums in one order, so that two runs can be compared to the last bit."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of models of several families."""
    folder = tmp_path_factory.mktemp("families")
    for kind in KINDS:
        families.save(kind, folder / kind)
    return folder


def flags(bench: Path, start: Path, output: Path, **more: object) -> list[str]:
    fixed = {"model_name_or_path": start, "vision_tower": None, "output_dir": output, "max_steps": 4}
    return runs.flags(bench, **fixed | {"save_strategy": "steps", "save_steps": 2, "icl_num": 2} | more)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lora_run_learns_resumes_merges_and_loads(kind: str, starts: Path, bench: Path, tmp_path: Path) -> None:
    more = {"tune": "lora", "lora_r": 4, "learning_rate": 1e-2, "gradient_checkpointing": True, "max_steps": 6}
    arguments = flags(bench, starts / kind, tmp_path / "out", **more, save_steps=3)
    output = train(recipes.parse(arguments))
    before = runs.losses(output)
    assert before[6] < before[1]
    whole, processor = load_model(output)
    inputs = processor.prepare(["which colour", "what"], [bench / "picture-0.png", None])
    with torch.no_grad():
        logits = whole(**inputs).logits
    (output / "checkpoint-6").rename(tmp_path / "away")
    train(recipes.parse(arguments))
    assert runs.losses(output) == pytest.approx(before, rel=1e-5)
    assert main(["merge", str(output), str(tmp_path / "merged"), "--json"]) == 0
    merged, _ = load_model(tmp_path / "merged")
    with torch.no_grad():
        torch.testing.assert_close(merged(**inputs).logits, logits, rtol=1e-4, atol=1e-4)
    start = dict(CamMLForConditionalGeneration.from_pretrained(tmp_path / "merged").named_parameters())
    assert all(parameter.isfinite().all() for parameter in start.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_reaches_the_perceivers_and_every_matrix(
    kind: str, starts: Path, bench: Path, tmp_path: Path
) -> None:
    trainer = prepare(recipes.parse(flags(bench, starts / kind, tmp_path / "out", tune="lora", lora_r=2)))
    model = trainer.model.train()
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(4)])
    with torch.no_grad():  # a second matrix of zeros hides the first one's gradient
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.02)
    model(**batch).loss.backward()
    trained = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name, gradient in trained.items() if gradient is None or not gradient.abs().max() > 0} <= {
        name for name in trained if name.endswith(("key.bias", "cross_norm.bias")) or "layers.1.self_attention.key" in name
    }
    assert all("lora_" in name or "context_perceiver." in name for name in trained)
    assert any("context_perceiver.image_in" in name for name in trained)
