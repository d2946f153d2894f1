"""The byte-pair merges of CLIP's tokenizer (arXiv 2103.00020), which ImageBind's text tower shares."""

import gzip
from pathlib import Path

HUB = "openai/clip-vit-base-patch32"
HUB_FILES = ("merges.txt",)
LICENSE = "MIT"
MEGABYTES = 1
WHOLE = False  # of the hub's folder only this one file
PRECISION = {"hub": "text", "wheel": "text"}
WHEEL = ("open_clip_torch", "3.3.0", "c549ad5ed6bfc119cc11105033c0a2b9d7a2a4afeb40a58a09aab3da1a0043ce")

MERGES = 49408 - 2 * 256 - 2
"""The vocabulary, less each byte inside and at the end of a word, less the marks of beginning and end."""


def convert(unpacked: Path, folder: Path) -> None:
    """Write `merges.txt`: the header and the merges in use, out of the longer list that CLIP published."""
    with gzip.open(unpacked / "open_clip" / "bpe_simple_vocab_16e6.txt.gz", "rt", encoding="utf-8") as file:
        lines = [line.rstrip("\n") for _, line in zip(range(MERGES + 1), file, strict=False)]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines[1:]]) + "\n", encoding="utf-8")
