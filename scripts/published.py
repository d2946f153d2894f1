"""Where the published files lie, and the original's way to train: what the scripts of its names share.

`published.sh` says the same for those in bash.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from camml.cli import main
from camml.errors import CaMMLError
from camml.neighbors import MANIFEST

LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GROUP_RANK")
"""What torchrun tells its processes by."""

OWN = Path("data/llava/llava_665k")
"""Where `scripts/retriever/` writes what it makes."""


@dataclass(frozen=True)
class Kind:
    """One of the original's two kinds of models: its samples, its neighbors, and what its training script sets."""

    pair: tuple[Path, Path]
    neighbors: Path
    flags: tuple[str, ...]
    own: tuple[Path, Path] | None = None

    @property
    def store(self) -> str:
        """Return INDEX_FILE:DATA_JSON; of the two places the first, if neither is there."""
        own = self.own and not self.pair[0].is_file() and self.own[0].is_file()
        return ":".join(map(str, self.own if own and self.own else self.pair))


KINDS = {
    "sqa": Kind(
        (Path("data/sqa_vision_flatIP.index"), Path("data/sqa_train_post_memory_answer.json")),
        Path("data/neighbors/scienceqa_train"),
        ("--prompt_style", "official_scienceqa", "--perceiver_init", "bert"),
    ),
    "665k": Kind(
        (Path("data/llava_665k_vision_flatIP.index"), Path("data/llava_665k_memory_metadata.json")),
        Path("data/neighbors/llava_665k"),
        ("--perceiver_init", "bert"),
        (OWN / "index" / "llava_665k_vision_flatIP.index", OWN / "llava_665k_memory_metadata.json"),
    ),
}


def train(kind: str, arguments: Sequence[str]) -> int:
    """Train with the flags of the original, in each process of torchrun.

    The original looks for neighbors in every step. Here one process computes them ahead, after the checks, and the
    others wait; the next run finds them.
    """
    own = KINDS[kind]
    flags = [*own.flags, *arguments]
    given = {argument.partition("=")[0] for argument in arguments}
    if not given & {"--help", "-h", "--neighbors"}:
        flags = ["--neighbors", str(own.neighbors), *flags]
        try:
            code = find_neighbors(own, flags)
        except (CaMMLError, OSError) as error:
            print(f"camml: error: {error}", file=sys.stderr)
            code = 2
        if code:
            return code
    return main(["train", *flags])


def find_neighbors(kind: Kind, flags: Sequence[str]) -> int:
    """Compute the neighbors where they are not there; the exit code.

    Raises:
      CaMMLError: a flag cannot be used.
    """
    from camml.training import recipes

    data = recipes.read(flags)
    there = kind.neighbors / MANIFEST
    if not data.icl_num or there.is_file():
        return 0
    kind.neighbors.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{kind.neighbors}.lock"):
        if there.is_file():
            return 0
        images = ["--images", data.image_folder] if data.image_folder else []
        more = ["--store-images", data.store_images] if data.store_images else []
        paths = [data.data_path, kind.store, str(kind.neighbors)]
        return alone("train", *flags, "--check", "True") or alone(
            "neighbors", *paths, *images, *more, "--mode", "text-image", "--k", "10"
        )


def alone(*arguments: str) -> int:
    """Run a verb in a process that is not one of those of torchrun; its exit code."""
    own = {name: value for name, value in os.environ.items() if name not in LAUNCHED}
    return subprocess.run([sys.executable, "-m", "camml", *arguments], env=own).returncode
