"""Several processes: the same losses as one, and folders that one process can use."""

import json
import os
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig

from camml.model import CamMLForConditionalGeneration
from camml.model.loading import load_model
from camml.training import recipes
from camml.training.train import train
from tests import families, tiny
from tests.fork_server import ForkServer
from tests.training import runs

slow = pytest.mark.slow

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
    return runs.flags(bench, model_name_or_path=start, vision_tower=None, output_dir=output, **{**fixed, **more})


@pytest.fixture(scope="module")
def alone(bench: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process with the whole batch."""
    output = tmp_path_factory.mktemp("alone") / "out"
    runs.run(flags(bench, start, output, per_device_train_batch_size=2))
    return output


@pytest.mark.long
def test_two_sharded_steps_are_those_of_one_process(
    bench: Path, start: Path, tmp_path: Path, programs: ForkServer
) -> None:
    """The smallest run over two processes, for every day."""
    few = {"max_steps": 2, "save_steps": 2}
    train(recipes.parse(flags(bench, start, tmp_path / "alone", per_device_train_batch_size=2, **few)))
    runs.share(programs, flags(bench, start, tmp_path / "out", per_device_train_batch_size=1, fsdp="True", **few))
    expected = runs.losses(tmp_path / "alone")
    assert list(expected) == [1, 2]
    assert runs.losses(tmp_path / "out") == pytest.approx(expected, rel=1e-5)
    models = [load_model(tmp_path / name)[0].state_dict() for name in ("alone", "out")]
    assert models[0].keys() == models[1].keys()
    for name, value in models[0].items():
        torch.testing.assert_close(models[1][name], value, rtol=1e-3, atol=1e-4)


@slow
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


@slow
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


@slow
class TestZero3FromParts:
    """What people have: a language model, and a folder of CLIP with its text half."""

    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        if find_spec("deepspeed") is None:
            pytest.skip("deepspeed is not installed")

    def flags(self, tmp_path: Path, sharding: str, **more: object) -> list[str]:
        """The flags of a run on a whole CLIP, whose `logit_scale` has no dimension."""
        arguments = runs.flags(
            tmp_path,
            output_dir=tmp_path / "out",
            deepspeed=sharding,
            max_steps=2,
            per_device_train_batch_size=1,
            **more,
        )
        text = CLIPTextConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=64
        )
        both = CLIPConfig(text_config=text.to_dict(), vision_config=tiny.vision_config().to_dict(), projection_dim=8)
        torch.manual_seed(0)
        (tmp_path / "tower" / "model.safetensors").unlink(missing_ok=True)
        CLIPModel(both).save_pretrained(tmp_path / "tower")
        return arguments

    @pytest.mark.parametrize("cache", [False, True])
    def test_a_whole_clip_is_a_tower(self, cache: bool, tmp_path: Path) -> None:
        arguments = self.flags(tmp_path, "zero3", feature_cache=tmp_path / "cache" if cache else None)
        runs.run(arguments, processes=2)
        clip = CLIPModel.from_pretrained(tmp_path / "tower").vision_model.state_dict()
        tower = CamMLForConditionalGeneration.from_pretrained(tmp_path / "out").vlm.vision_tower.state_dict()
        assert len(clip) == len(tower) > 20
        for name, value in tower.items():
            assert torch.equal(clip[name.removeprefix("vision_model.")], value), name

    @pytest.mark.parametrize("start", ["parts", "llava"])
    def test_perceivers_start_as_copies(self, start: str, tmp_path: Path) -> None:
        """What they copy are word embeddings, of which each process has a half."""
        more = {"perceiver_hidden_size": 256, "perceiver_heads": 4, "perceiver_positions": True, "max_steps": 2}
        more |= {"perceiver_init": "copy", "gradient_checkpointing": True, "save_strategy": "steps", "save_steps": 2}
        more |= {"group_by_modality_length": False, "output_dir": tmp_path / "alone"}
        alone = runs.flags(tmp_path, **more, per_device_train_batch_size=2)
        if start == "llava":
            families.save("llava", tmp_path / "llava")
            entries = json.loads((tmp_path / "train.json").read_text())
            (tmp_path / "images.json").write_text(json.dumps([entry for entry in entries if "image" in entry]))
            more |= {"model_name_or_path": tmp_path / "llava", "vision_tower": None}
            more |= {"data_path": tmp_path / "images.json"}
            more |= {"neighbors": runs.table(tmp_path / "of", tmp_path / "images.json")}
            alone = runs.flags(tmp_path, **more, per_device_train_batch_size=2)
        runs.run(alone)
        more |= {"deepspeed": "zero3", "output_dir": tmp_path / "two", "per_device_train_batch_size": 1}
        runs.run(runs.flags(tmp_path, **more), processes=2)
        # what is not copied is silent before the first step, and random; each run draws its own
        assert runs.losses(tmp_path / "two")[1] == pytest.approx(runs.losses(tmp_path / "alone")[1], rel=1e-4)

    @pytest.mark.parametrize("tune", ["full", "lora"])
    def test_a_vision_language_model_learns_what_it_does_on_one_process(self, tune: str, tmp_path: Path) -> None:
        """All rows have images: processes wait for each other at the tower, which sees no blank ones."""
        model, processor = tiny.added("llava")  # a whole model, so that both runs have the same first weights
        model.config.perceiver_dropout = 0.0
        model.save_pretrained(tmp_path / "llava")
        processor.save_pretrained(tmp_path / "llava")
        fixed = {"model_name_or_path": tmp_path / "llava", "vision_tower": None, "tune": tune, "lora_r": 4}
        fixed |= {"max_steps": 3, "save_strategy": "steps", "save_steps": 3, "group_by_modality_length": False}
        fixed |= {
            "lora_dropout": 0.0,
            "data_path": tmp_path / "images.json",
            "neighbors": tmp_path / "of" / "neighbors",
        }
        alone = runs.flags(tmp_path, output_dir=tmp_path / "alone", **fixed, per_device_train_batch_size=2)
        entries = json.loads((tmp_path / "train.json").read_text())
        (tmp_path / "images.json").write_text(json.dumps([entry for entry in entries if "image" in entry]))
        runs.table(tmp_path / "of", tmp_path / "images.json")
        sharded = {**fixed, "per_device_train_batch_size": 1, "deepspeed": "zero3"}
        two = runs.flags(tmp_path, output_dir=tmp_path / "two", **sharded)
        runs.run(alone)
        runs.run(two, processes=2)
        close = 1e-4 if tune == "full" else 1e-2  # the matrices of LoRA are drawn by each run for itself
        assert runs.losses(tmp_path / "two") == pytest.approx(runs.losses(tmp_path / "alone"), rel=close)
        models = [load_model(tmp_path / name)[0].state_dict() for name in ("alone", "two")]
        for name, value in models[0].items():
            torch.testing.assert_close(models[1][name], value, rtol=10 * close, atol=close)
        sharded |= {"data_path": tmp_path / "train.json", "neighbors": tmp_path / "neighbors"}
        with pytest.raises(AssertionError, match=r"with ZeRO-3 or FSDP all rows for a 'llava' model must be alike"):
            runs.run(runs.flags(tmp_path, output_dir=tmp_path / "mixed", **sharded), processes=2)
