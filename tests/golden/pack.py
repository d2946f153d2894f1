"""Pack reference results for the repository: `python tests/golden/pack.py SHARED_GOLDEN`.

SHARED_GOLDEN holds the folders as the official code left them. What no comparison reads is left out, without changing
a value that one reads: of the logits every position but some, of ImageBind's vocabulary the rows that no text uses, and
one of its three pictures.
"""

import io
import json
import sys
import tarfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save

CHECKPOINTS = ("camml_linear", "camml_mlp2x")
POSITIONS = 20
PICTURES = 2
VOCABULARY = "modality_preprocessors.text.token_embedding.weight"


def pack_checkpoint(source: Path, target: Path) -> None:
    """Pack a checkpoint in the official layout, with the logits of some positions."""
    expected = load_file(source / "expected.safetensors")
    for case in json.loads((source / "expected.json").read_text())["cases"]:
        logits = expected[f"{case}.logits"]
        positions = torch.linspace(0, len(logits) - 1, POSITIONS).long()
        expected |= {f"{case}.logits": logits[positions].clone(), f"{case}.positions": positions}
    files = {path.relative_to(source).as_posix(): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    _write(target, source.name, files | {"expected.safetensors": save(expected)})


def pack_imagebind(source: Path, target: Path) -> None:
    """Pack a small ImageBind, with the rows of its vocabulary that the texts use and two pictures."""
    expected = load_file(source / "expected.safetensors")
    state = torch.load(source / "imagebind_tiny.pth", weights_only=True)
    used = expected["tokens"].unique()
    rows = torch.zeros_like(state[VOCABULARY])
    rows[used] = state[VOCABULARY][used]
    state[VOCABULARY] = rows
    for name in ("pixel_values", "vision"):
        expected[name] = expected[name][:PICTURES].clone()
    weights = io.BytesIO()
    torch.save(state, weights)
    files = {
        "expected.json": (source / "expected.json").read_bytes(),
        "expected.safetensors": save(expected),
        "imagebind_tiny.pth": weights.getvalue(),
    }
    _write(target, source.name, files)


def _write(target: Path, name: str, files: dict[str, bytes]) -> None:
    with tarfile.open(target / f"{name}.tar.xz", "w:xz", preset=9) as archive:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    shared, here = Path(sys.argv[1]), Path(__file__).parent
    for checkpoint in CHECKPOINTS:
        pack_checkpoint(shared / checkpoint, here)
    pack_imagebind(shared / "imagebind_tiny", here)
