"""The scripts that start training on several nodes, with a SLURM and a Python that only print."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """An environment in which `srun` runs its command once a node, and `python` prints its arguments."""
    for name, text in {
        "python": 'echo "$@"',
        "scontrol": "printf 'node-a\\nnode-b\\n'",
        "srun": 'shift; for SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@"; done',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def run(script: str, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(SCRIPTS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_slurm_starts_torchrun_once_a_node(cluster: dict[str, str]) -> None:
    job = {
        "SLURM_JOB_NODELIST": "node-[a-b]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_ID": "77",
        "SLURM_GPUS_ON_NODE": "4",
        "SLURM_SUBMIT_DIR": str(SCRIPTS.parent),
    }
    done = run("launch_slurm.sh", "c.yaml", "--note", "two words", environment={**cluster, **job})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"-m torch.distributed.run --nnodes=2 --node_rank={rank} --nproc_per_node=4 --master_addr=node-a "
        "--master_port=20077 -m camml train c.yaml --note two words"
        for rank in (0, 1)
    ]


def test_one_node_needs_no_address_and_several_do(cluster: dict[str, str]) -> None:
    done = run("launch_torchrun.sh", "c.yaml", environment={**cluster, "GPUS_PER_NODE": "1"})
    assert "--nnodes=1 --node_rank=0 --nproc_per_node=1 --master_addr=127.0.0.1" in done.stdout
    done = run("launch_torchrun.sh", "c.yaml", environment={**cluster, "NNODES": "2"})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "set MASTER_ADDR" in done.stderr


def test_without_arguments_it_says_what_to_give(cluster: dict[str, str]) -> None:
    done = run("launch_torchrun.sh", environment=cluster)
    assert done.returncode == 2
    assert "configs/camml_7b.yaml" in done.stderr
