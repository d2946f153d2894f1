"""Several processes: the same losses as one, and folders that one process can use."""

import os
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from camml.model import CamMLForConditionalGeneration
from tests import tiny
from tests.training import runs

pytestmark = pytest.mark.slow

SHARDINGS = {
    "data parallel": {"ddp_find_unused_parameters": False},
    "fsdp": {"fsdp": "True"},
    "zero2": {"deepspeed": "zero2.json"},
    "zero3": {"deepspeed": "zero3.json"},
}


@pytest.fixture(scope="module")
def start(bench: Path) -> Path:
    """A whole model to start from, so that every run has the same first weights."""
    settings = tiny.config(perceiver_dropout=0.0)
    tiny.model(settings).save_pretrained(bench / "start")
    tiny.processor(settings).save_pretrained(bench / "start")
    return bench / "start"


def flags(bench: Path, start: Path, output: Path, **more: object) -> list[str]:
    fixed = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "group_by_modality_length": False}
    return runs.flags(bench, model_name_or_path=start, vision_tower=None, output_dir=output, **fixed, **more)


@pytest.fixture(scope="module")
def alone(bench: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process with the whole batch."""
    output = tmp_path_factory.mktemp("alone") / "out"
    runs.run(flags(bench, start, output, per_device_train_batch_size=2))
    return output


@pytest.mark.parametrize("kind", SHARDINGS)
def test_two_processes_learn_what_one_does_and_can_be_resumed(
    kind: str, bench: Path, start: Path, alone: Path, tmp_path: Path
) -> None:
    """One row a process and mixed modalities: in some steps one process sees an image and the other has none."""
    if kind.startswith("zero") and find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed")
    output = tmp_path / "out"
    arguments = flags(bench, start, output, per_device_train_batch_size=1, **SHARDINGS[kind])
    runs.run(arguments, processes=2)
    wanted = runs.losses(alone)
    assert runs.losses(output) == pytest.approx(wanted, rel=1e-5)
    models = [CamMLForConditionalGeneration.from_pretrained(folder).state_dict() for folder in (alone, output)]
    assert models[0].keys() == models[1].keys()
    for name, value in models[0].items():
        torch.testing.assert_close(models[1][name], value, rtol=1e-3, atol=1e-4)
    before = runs.losses(output)
    shutil.rmtree(output / "checkpoint-6")
    runs.run(arguments, processes=2)
    assert runs.losses(output) == pytest.approx(before, rel=1e-6)


def test_two_machines_of_one_process_each_learn_what_one_process_does(
    bench: Path, start: Path, alone: Path, tmp_path: Path
) -> None:
    """Two launchers that find each other at an address, as on two machines with a common disk."""
    output = tmp_path / "out"
    arguments = flags(bench, start, output, per_device_train_batch_size=1, feature_cache=tmp_path / "cache")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1",
              "--master_addr=127.0.0.1", f"--master_port={port}"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    machines = [
        subprocess.Popen([*launch, f"--node_rank={rank}", "-m", "camml", "train", *arguments],
                         env=environment, cwd=runs.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]  # fmt: skip
    try:
        said = [machine.communicate(timeout=500)[1] for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
    assert [machine.returncode for machine in machines] == [0, 0], said[0][-3000:] + said[1][-3000:]
    assert runs.losses(output) == pytest.approx(runs.losses(alone), rel=1e-4)  # features are kept in 16 bits
    assert len(list(tmp_path.glob("cache/tower/*/*.f16"))) == 2
    assert CamMLForConditionalGeneration.from_pretrained(output).config.model_type == "camml"
