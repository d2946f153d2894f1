"""The scripts that train as published, with a Python and a torchrun that only print."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_camml_7B_sqa.sh"
INDEX = "I:J"


@pytest.fixture
def fake(tmp_path: Path) -> dict[str, str]:
    """An environment where `python` and `torchrun` print their arguments."""
    for name in ("python", "torchrun"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    own = {name: value for name, value in os.environ.items() if name not in ("NEIGHBORS", "STORE_IMAGES", "file")}
    return {**own, "PATH": f"{tmp_path}:{os.environ['PATH']}", "INDEX": INDEX}


def said(*arguments: str, environment: dict[str, str]) -> list[str]:
    command = ["bash", str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.splitlines()


def test_it_checks_computes_neighbors_and_trains(fake, tmp_path: Path) -> None:
    check, neighbors, train = said("--seed", "1", environment=fake | {"NEIGHBORS": str(tmp_path / "new")})
    assert check.startswith("python -m camml train configs/camml_7b_sqa.yaml --neighbors ")
    assert check.endswith("--seed 1 --check True")
    assert neighbors == (
        f"python -m camml neighbors ./data/scienceqa/llava_train_QCM-LEPA.json {INDEX} {tmp_path}/new "
        "--images ./data/scienceqa/images/ --mode text-image --k 10"
    )
    assert train.startswith("torchrun --nproc_per_node=8 ")
    assert train.endswith("--seed 1")


def test_neighbors_are_of_the_data_that_the_flags_name(fake, tmp_path: Path) -> None:
    """The recipe's own file is not the one that is trained on then."""
    mine = ["--data_path", "two words.json", "--image-folder=pictures/", "--neighbors", str(tmp_path / "mine")]
    for flags in (mine, ["--data_path=other.json", *mine], ["--neighbors", "other", *mine, "--store_images", "P"]):
        neighbors, train = said(*flags, environment=fake | {"NEIGHBORS": "other"})[1:]
        assert neighbors.startswith(
            f"python -m camml neighbors two words.json {INDEX} {tmp_path}/mine --images pictures/ --mode"
        )
        assert ("--store-images P" in neighbors) is ("P" in flags)
        assert train.endswith(" ".join(flags))


def test_neighbors_that_are_there_are_not_computed_again(fake, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    assert len(said("--neighbors", str(tmp_path), environment=fake)) == 2
    assert len(said(environment=fake | {"NEIGHBORS": str(tmp_path)})) == 2
