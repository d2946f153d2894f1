"""Everything a small training run needs, made on the spot: parts of a model, data, neighbors."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, CLIPImageProcessorPil

from camml import neighbors
from camml.data import llava_json, origins
from camml.types import Neighbor, Sample
from tests import fork_server, tiny
from tests.fork_server import ForkServer

ROOT = Path(__file__).parents[2]
COLORS = [(220, 20, 20), (20, 200, 40), (10, 20, 230), (200, 200, 0), (0, 180, 190), (120, 10, 120)]


def pretend_installed(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the checks before a run find a package that the everyday tests do without."""
    find_spec = importlib.util.find_spec
    spec = importlib.util.spec_from_loader(package, loader=None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: spec if name == package else find_spec(name, *rest)
    )


def pretend_missing(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide a package from the checks before a run."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else find_spec(name, *rest)
    )


def parts(folder: Path, tokenizer: Any = None) -> tuple[Path, Path]:
    """Folders of a language model and a vision tower with random weights."""
    torch.manual_seed(0)
    language, tower = folder / "language", folder / "tower"
    AutoModelForCausalLM.from_config(tiny.text_config()).save_pretrained(language)
    (tokenizer or tiny.tokenizer()).save_pretrained(language)
    AutoModel.from_config(tiny.vision_config()).save_pretrained(tower)
    CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(tower)
    return language, tower


def dataset(folder: Path, count: int = 12) -> Path:
    """Conversations, two thirds of them about an image."""
    entries: list[dict[str, Any]] = []
    for number in range(count):
        entry: dict[str, Any] = {"id": f"row-{number}"}
        if with_image := number % 3 != 2:
            entry["image"] = tiny.image(folder, f"picture-{number}", COLORS[number % len(COLORS)]).name
        question = "which colour is the picture" + " of France" * (number % 4)
        turns = [("human", ("<image>\n" if with_image else "") + question), ("gpt", f"colour {number}")]
        if number % 4 == 1:
            turns += [("human", "and the field"), ("gpt", "white")]
        entry["conversations"] = [{"from": who, "value": value} for who, value in turns]
        entries.append(entry)
    path = folder / "train.json"
    path.write_text(json.dumps(entries))
    return path


def table(folder: Path, data: Path, k: int = 3, store_hash: str = "b") -> Path:
    """Neighbors of every conversation: the next ones, as samples with image and text."""
    rows = llava_json.read(data)
    samples = [Sample(row.id, f"{row.turns[0].question} {row.turns[0].answer}", row.image) for row in rows]

    def retrieve(queries: Any, most: int) -> Any:
        places = [[row.id for row in rows].index(query.id) for query in queries]
        return [tuple(Neighbor(samples[(p + n) % len(samples)], 1 / n) for n in range(1, most + 1)) for p in places]

    origin = neighbors.Origin(str(data), origins.file_hash(data), "store", store_hash, 0, "test 1", "auto", k)
    neighbors.compute([row.query for row in rows], retrieve, folder / "neighbors", origin)
    return folder / "neighbors"


def flags(folder: Path, **more: Any) -> list[str]:
    """The flags of a run on the parts and data above, made where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "language").exists():
        parts(folder)
        table(folder, dataset(folder))
    values: dict[str, Any] = {
        "model_name_or_path": folder / "language",
        "vision_tower": folder / "tower",
        "data_path": folder / "train.json",
        "neighbors": folder / "neighbors",
        "output_dir": folder / "out",
        "perceiver_hidden_size": 24,
        "perceiver_querys": 3,
        "perceiver_heads": 2,
        "perceiver_intermediate_size": 32,
        "perceiver_dropout": 0.0,
        "icl_num": 2,
        "random_shots_training": True,
        "group_by_modality_length": True,
        "per_device_train_batch_size": 2,
        "num_train_epochs": 2,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        **more,
    }
    return [piece for name, value in values.items() if value is not None for piece in (f"--{name}", str(value))]


def losses(output: Path) -> dict[int, float]:
    """The loss of every step, as the newest state of a run tells it."""
    states = sorted(output.glob("checkpoint-*/trainer_state.json"), key=lambda path: path.stat().st_mtime_ns)
    history = json.loads(states[-1].read_text())["log_history"]
    return {entry["step"]: entry["loss"] for entry in history if "loss" in entry}


def command(arguments: list[str], processes: int = 1) -> list[str]:
    """What runs `camml train` in processes of its own."""
    if processes == 1:
        return [sys.executable, "-m", "camml", "train", *arguments]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [*launcher, "-m", "camml", "train", *arguments]


def run(arguments: list[str], processes: int = 1, **environment: str) -> str:
    """Run `camml train`; what it prints. AssertionError with its output if it fails."""
    result = subprocess.run(
        command(arguments, processes),
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    return result.stdout + result.stderr


def share(programs: ForkServer, arguments: list[str]) -> None:
    """Run `camml train` in two processes."""
    together(programs, "-m", "camml", "train", *arguments)


def together(programs: ForkServer, *command: object) -> None:
    """Run `python COMMAND` in two processes with the environment that torchrun gives them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    own |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    started = []
    for rank in ("0", "1"):
        environment = {**os.environ, **own, "RANK": rank, "LOCAL_RANK": rank}
        program = programs.start(*command, cwd=ROOT, env=environment)
        started.append((program, programs.file("err")))
    try:
        codes = [program.wait(300) for program, _ in started]
    finally:
        for program, _ in started:
            fork_server.kill(program)
    assert codes == [0, 0], [err.read_text()[-3000:] for _, err in started]
