"""The scripts under the names that the paper's repository has for them."""

import os
import subprocess
from pathlib import Path

import pytest

from camml.evaluation import task as tasks
from tests.evaluation.conftest import build_store
from tests.layouts import write_benchmarks

SCRIPTS = Path(__file__).parents[2] / "scripts" / "evaluation"
ORIGINAL = {"flickr30kcap": "flickr30k", "mmbenchcn": "mmbench_cn", "sqai": "sqa"}
"""Scripts of the original, and ours that do the same."""
NAMES = sorted(path.name.removesuffix("_camml.sh") for path in SCRIPTS.glob("*_camml.sh"))


@pytest.fixture
def fake(tmp_path: Path) -> dict[str, str]:
    """An environment where `python` and `torchrun` print their arguments."""
    for name in ("python", "torchrun"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "DATA": "D"}


def said(script: str, *arguments: str, environment: dict[str, str]) -> str:
    command = ["bash", str(SCRIPTS / f"{script}_camml.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()


@pytest.mark.long
def test_each_task_has_its_script(fake) -> None:
    asked = [said(name, "m", environment=fake).split()[5] for name in NAMES]
    assert len(NAMES) == 19 + len(ORIGINAL)
    assert set(asked) == {name for name in tasks.names() if tasks.find(name).published}


@pytest.mark.parametrize(("theirs", "ours"), ORIGINAL.items())
def test_the_names_of_the_original_do_the_same(theirs: str, ours: str, fake) -> None:
    assert said(theirs, "m", "2", environment=fake) == said(ours, "m", "2", environment=fake)


def test_the_published_index_and_shots_are_used(fake) -> None:
    store = "D/sqa_vision_flatIP.index:D/sqa_train_post_memory_answer.json"
    assert said("sqa_ft", "m", "1", "--limit", "5", environment=fake) == (
        f"python -m camml eval run scienceqa_ft --model m --data D/eval --store {store} --shots 1 --limit 5"
    )
    store = "D/llava_665k_vision_flatIP.index:D/llava_665k_memory_metadata.json"
    assert f"--store {store} --shots 3" in said("mme", "m", environment=fake)
    assert "--store-images P" in said("mme", "m", environment=fake | {"STORE_IMAGES": "P"})


def test_the_words_of_the_original_are_taken(fake) -> None:
    """MODEL SHOTS MEMORY NAME, in this order."""
    result = said("vqav2", "m", "3", "665k", "mine", "--limit", "1", environment=fake)
    assert result == said("vqav2", "m", "3", "--out", "runs/eval/mine", "--limit", "1", environment=fake)
    assert said("vqav2", "m", "3", "665k", environment=fake) == said("vqav2", "m", "3", environment=fake)
    assert "--store D/sqa_vision" in said("vqav2", "m", "3", "sqa", environment=fake)


def test_an_index_of_ones_own_is_found_where_the_retriever_scripts_put_it(fake, tmp_path: Path) -> None:
    own = tmp_path / "llava" / "llava_665k"
    (own / "index").mkdir(parents=True)
    (own / "index" / "llava_665k_vision_flatIP.index").touch()
    result = said("mme", "m", environment=fake | {"DATA": str(tmp_path)})
    assert f"{own}/index/llava_665k_vision_flatIP.index:{own}/llava_665k_memory_metadata.json" in result


@pytest.mark.parametrize("script", ["sqa_ft", "sqa", "sqai"])
def test_the_tree_that_one_trained_on_serves_evaluation(script: str, fake, tmp_path: Path) -> None:
    (tmp_path / "scienceqa").mkdir()
    assert f"--data {tmp_path} " in said(script, "m", environment=fake | {"DATA": str(tmp_path)})
    (tmp_path / "eval" / "scienceqa").mkdir(parents=True)
    expected = tmp_path if script == "sqa_ft" else tmp_path / "eval"
    assert f"--data {expected} " in said(script, "m", environment=fake | {"DATA": str(tmp_path)})


def test_several_gpus_are_shared_and_samples_left_out(fake) -> None:
    result = said("gqa", "m", environment=fake | {"GPUS_PER_NODE": "4", "STORE": "none"})
    assert result == "torchrun --nproc_per_node 4 --master_port 29500 -m camml eval run gqa --model m --data D/eval"


def test_without_a_model_the_usage_is_shown(fake) -> None:
    done = subprocess.run(["bash", SCRIPTS / "gqa_camml.sh"], capture_output=True, text=True, env=fake)
    assert done.returncode == 2
    assert "gqa_camml.sh MODEL [SHOTS]" in done.stderr


@pytest.mark.slow
def test_a_script_runs_a_model(camml_folder, tmp_path) -> None:
    write_benchmarks(tmp_path / "data" / "eval")
    environment = {
        **os.environ,
        "DATA": str(tmp_path / "data"),
        "STORE": str(build_store(tmp_path)),
        "OMP_NUM_THREADS": "1",
    }
    more = ("--max-new-tokens", "4", "--device", "cpu", "--no-cache", "--out", str(tmp_path / "out"))
    assert "accuracy" in said("gqa", str(camml_folder), "2", *more, environment=environment)
