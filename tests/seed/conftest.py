"""The paper's README, and a clone of this project in which its commands are typed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from camml import encoders
from tests.seed import parts, tree

ROOT = Path(__file__).parents[2]
COMMANDS = Path(__file__).with_name("commands.md")
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
PARTS = ("configs", "scripts", "camml", "llava", "install.sh", "constraints.txt")
"""What of this project the commands of that README name; the package itself is installed already."""


def blocks(text: str) -> list[str]:
    """The blocks of a page that hold commands."""
    words = ("git clone", "pip install", "conda", "python ", "torchrun", "bash scripts")
    return [block.rstrip("\n") for block in BLOCK.findall(text) if any(word in block for word in words)]


@dataclass
class Clone:
    """A folder in which the commands are typed, one after the other.

    Attributes:
      folder: where `git clone` left the project.
      environment: of every command.
    """

    folder: Path
    environment: dict[str, str]
    done: list[str] = field(default_factory=list)

    def type(self, command: str, *more: str, code: int = 0, **environment: str) -> str:
        """Type a command as it stands, with `more` behind it; what it printed. It must end with `code`."""
        line = " ".join([command, *more])
        self.done.append(command)
        ended = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder, env={**self.environment, **environment}, capture_output=True, text=True, timeout=400,
        )  # fmt: skip
        said = ended.stdout + ended.stderr
        assert ended.returncode == code, f"{line}\nended with {ended.returncode}\n{said[-6000:]}"
        return said


@pytest.fixture(scope="session")
def commands() -> list[str]:
    """The blocks of commands, in their order."""
    return blocks(COMMANDS.read_text())


@pytest.fixture(scope="session")
def written() -> Callable[[Path], Path]:
    """Writes checkpoints and data into a clone; ScienceQA's folder."""

    def write(folder: Path) -> Path:
        parts.write_parts(folder / "checkpoints")
        parts.write_imagebind(folder / ".checkpoints" / "imagebind_huge.pth")
        science = tree.write_tree(folder / "data")
        encoder = encoders.load("imagebind", model=str(folder / ".checkpoints" / "imagebind_huge.pth"))
        tree.write_pairs(folder / "data", encoder)
        return science

    return write


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, written: Callable[[Path], Path]) -> Iterator[Clone]:
    """An empty folder beside a repository to clone; `conda` and `pip`, which would change this machine, only talk."""
    home = tmp_path_factory.mktemp("home")
    _make_repository(home)
    for program in ("conda", "pip"):
        (home / "bin").mkdir(exist_ok=True)
        (home / "bin" / program).write_text(f'#!/bin/sh\necho {program} "$@"\n')
        (home / "bin" / program).chmod(0o755)
    inside = {
        **os.environ,
        "PATH": f"{home / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "GPUS_PER_NODE": "1",
        "HF_HUB_OFFLINE": "1",
    }
    empty = home / "empty"
    empty.mkdir()
    clone = Clone(empty, inside)
    clone.type("git clone -q ../camml.git")
    clone.folder = empty / "camml"
    written(clone.folder)
    yield clone
    shutil.rmtree(home, ignore_errors=True)


def _make_repository(home: Path) -> None:
    """Write `camml.git` with what is in this working copy."""
    work = home / "work"
    work.mkdir()
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, work / name)
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "copy"]):
        subprocess.run(["git", *command], cwd=work, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(home / "camml.git")], check=True)
