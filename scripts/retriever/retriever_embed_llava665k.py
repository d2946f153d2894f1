"""Vectors of all pictures of LLaVA-1.5-665K, and the JSON of their samples, under the original's names.

    python scripts/retriever/retriever_embed_llava665k.py     # reads and writes below data/llava/llava_665k
    python scripts/retriever/build_autofaiss_index.py

Flags that are not given have the original's values. For a collection of your own `camml store build` is the better way:
it goes on where it was interrupted, and samples can be added and removed.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from camml import durable, encoders, formats
from camml.cli import Parser
from camml.cli._datastore import add_encoder_option, encoder_options
from camml.errors import CaMMLError, SampleError
from camml.images import each_image, open_image
from camml.progress import progress_bar
from camml.types import Sample

FOLDER = Path("data/llava/llava_665k")


def read_samples(source: Path, images: Path) -> list[Sample]:
    """Return the samples that have a picture, with ids that occur once.

    Raises:
      SampleError: a picture is not there, or the file cannot be read.
    """
    samples = [sample for sample in formats.read(source, images=images) if sample.image]
    missing = [sample for sample in samples if sample.image and not sample.image.is_file()]
    if missing:
        raise SampleError(
            f"{len(missing)} of the {len(samples)} pictures of {source} are not there, such as {missing[0].image}; "
            "bring them, or say where they start with --images DIR"
        )
    if not samples:
        raise SampleError(f"{source} holds no sample with a picture")
    return samples


def embed(samples: Sequence[Sample], encoder: encoders.Encoder, file: Path, batch_size: int) -> None:
    """Write the vectors of the pictures as float32[N, D] to an .npy file, which appears when it is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with durable.replacing(file) as unfinished:
        shape = (len(samples), encoder.image_dim)
        vectors = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float32, shape=shape)
        with progress_bar("embedding", "pictures") as progress:
            for start in range(0, len(samples), batch_size):
                some = [sample.image for sample in samples[start : start + batch_size] if sample.image]
                vectors[start : start + len(some)] = encoder.embed_images(each_image(open_image, some))
                progress(start + len(some), len(samples))
        vectors.flush()


def write_metadata(samples: Sequence[Sample], file: Path) -> None:
    """Write id, image and text of each sample, images as they are named from the working directory."""
    entries = [
        {"id": sample.id, "image": os.path.relpath(str(sample.image)), "text": sample.text} for sample in samples
    ]
    durable.write_file(file, json.dumps(entries, ensure_ascii=False).encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Read, embed and write; exit code 2 where that cannot be."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("retriever_embed_llava665k.py", description=__doc__, formatter_class=raw)
    parser.add_argument("--source", type=Path, default=FOLDER / "llava_v1_5_mix665k.json", help="(%(default)s)")
    parser.add_argument("--images", type=Path, default=FOLDER, help="where image paths start (%(default)s)")
    parser.add_argument("--vectors", type=Path, default=FOLDER / "vision_emb" / "llava_665k_vision.npy")
    parser.add_argument("--metadata", type=Path, default=FOLDER / "llava_665k_memory_metadata.json")
    parser.add_argument("--encoder", default="imagebind", help="(%(default)s)")
    add_encoder_option(parser)
    parser.add_argument("--batch-size", type=int, default=32, help="pictures at a time (%(default)s)")
    args = parser.parse_args(argv)
    try:
        samples = read_samples(args.source, args.images)
        embed(samples, encoders.load(args.encoder, **encoder_options(args)), args.vectors, args.batch_size)
        write_metadata(samples, args.metadata)
    except (CaMMLError, OSError) as error:
        print(f"camml: error: {error}", file=sys.stderr)
        return 2
    print(f"{len(samples)} vectors in {args.vectors}, their samples in {args.metadata}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
