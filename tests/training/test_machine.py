"""What a machine can do, told before anything else."""

from pathlib import Path

import pytest
import torch

from camml.errors import OptionError
from camml.training import machine, recipes

ENOUGH = ["--model_name_or_path", "m", "--data_path", "d", "--icl_num", "0", "--output_dir", "o"]


@pytest.fixture(params=[True, False], ids=["bfloat16", "emulated"])
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A machine without a GPU, whose processor has bfloat16 or has not."""
    monkeypatch.setattr(machine, "has_accelerator", lambda: False)
    monkeypatch.setattr(machine, "has_fast_bfloat16", lambda: request.param)
    return request.param


def test_bfloat16_is_advised_where_the_processor_has_it(processor: bool) -> None:
    advice = "--fp16 False --bf16 True" if processor else "--fp16 False"
    with pytest.raises(OptionError) as caught:
        recipes.parse([*ENOUGH, "--fp16", "True"])
    assert str(caught.value) == f"--fp16 needs a GPU, and there is none here; add {advice}"
    recipes.parse([*ENOUGH, "--fp16", "True", *advice.split()])  # the advice works as it is printed


def test_it_is_said_before_anything_else(processor: bool) -> None:
    with pytest.raises(OptionError, match="--fp16 needs a GPU"):
        recipes.parse(["--fp16", "True", "--version", "v9"])
    recipes.parse([*ENOUGH, "--fp16", "True", "--dry_run", "True"])  # which plans for another machine
    with pytest.raises(OptionError, match="--fp16 needs a GPU"):
        recipes.parse([*ENOUGH, "--fp16", "True", "--check", "True"])


def test_a_gpu_that_is_left_out_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_accelerator", lambda: True)
    machine.check_precision(fp16=True)
    with pytest.raises(OptionError, match="--use_cpu leaves the GPU out"):
        machine.check_precision(fp16=True, use_cpu=True)


@pytest.mark.parametrize(
    ("flags", "has"),
    [("flags\t\t: fpu avx512_bf16 x", True), ("Features : fp asimd bf16", True), ("flags : fpu avx2 f16c", False)],
)
def test_the_processor_is_asked(flags: str, has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"processor : 0\n{flags}\n")
    assert machine.has_fast_bfloat16() is has


def test_more_gpus_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_accelerator", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: "some")
    monkeypatch.setenv("GPUS_PER_NODE", "8")
    with pytest.raises(OptionError, match="GPUS_PER_NODE is 8, and this machine has 1 GPU: set GPUS_PER_NODE=1"):
        machine.check_devices()
    monkeypatch.setenv("GPUS_PER_NODE", "1")
    assert machine.check_devices().startswith("1 of 1 GPUs")
    monkeypatch.setenv("GPUS_PER_NODE", "many")
    with pytest.raises(OptionError, match="'many'"):
        machine.check_devices()


def test_without_a_gpu_processes_share_the_processor(processor: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUS_PER_NODE", "2")
    assert machine.check_devices().startswith("no GPU: 2 processes on a processor " + ("with " if processor else "wi"))
