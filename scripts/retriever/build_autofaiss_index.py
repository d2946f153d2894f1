"""The FAISS index of the vectors that `retriever_embed_llava665k.py` made, under the name that the original gives it.

    python scripts/retriever/build_autofaiss_index.py

The index is flat and by inner product, as published; FAISS itself makes it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np

from camml import durable
from camml.cli import Parser
from camml.errors import CaMMLError, InputError
from camml.stores.faiss_index import write_index

FOLDER = Path("data/llava/llava_665k")
CHUNK = 65_536
"""Vectors that are read at a time."""


def build(vectors: Path, index_file: Path) -> int:
    """Write the index of all .npy files in a folder, in the order of their names; how many vectors it holds.

    Raises:
      InputError: there are none, or they do not fit each other.
    """
    parts = [np.load(file, mmap_mode="r") for file in sorted(vectors.glob("*.npy"))]
    if not parts:
        raise InputError(f"no vectors in {vectors}; make them with scripts/retriever/retriever_embed_llava665k.py")
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        raise InputError(f"the vectors in {vectors} are not of one length; remove what does not belong there")
    index = faiss.IndexFlatIP(parts[0].shape[1])
    for part in parts:
        for start in range(0, len(part), CHUNK):
            index.add(np.ascontiguousarray(part[start : start + CHUNK], dtype=np.float32))
    index_file.parent.mkdir(parents=True, exist_ok=True)
    with durable.replacing(index_file) as unfinished:
        write_index(index, unfinished)
    return int(index.ntotal)


def main(argv: Sequence[str] | None = None) -> int:
    """Build and say what was written; exit code 2 where that cannot be."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("build_autofaiss_index.py", description=__doc__, formatter_class=raw)
    parser.add_argument(
        "--vectors", type=Path, default=FOLDER / "vision_emb", help="folder of .npy files (%(default)s)"
    )
    parser.add_argument("--index", type=Path, default=FOLDER / "index" / "llava_665k_vision_flatIP.index")
    args = parser.parse_args(argv)
    try:
        count = build(args.vectors, args.index)
    except (CaMMLError, OSError, ValueError) as error:
        print(f"camml: error: {error}", file=sys.stderr)
        return 2
    metadata = FOLDER / "llava_665k_memory_metadata.json"
    print(f"{count} vectors in {args.index}; ask with: --store {args.index}:{metadata}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
