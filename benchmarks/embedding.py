"""Images a second from files to the vectors of a datastore, beside the bare encoder and a loop over single images.

    python benchmarks/embedding.py                               # DINOv2-small of `camml fetch`
    python benchmarks/embedding.py --random large --images 4096  # shapes of DINOv2-large, nothing fetched

The floor is the bare encoder: the same images, decoded before the clock starts, in the batches that are best for it.
`ours` is what `camml store build` does, from files to a datastore on disk, without the texts. `loop` opens, embeds and
keeps one image after the other. Ways take turns. How far the bare encoder is from the operations of its tower at the
speed of a large matrix product is said, too. Prints a table, and writes JSON, a profile and a plot.
"""

import argparse
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import (
    Spread,
    by_turns,
    circumstances,
    count_operations,
    matmul_ceiling,
    pick_device,
    profile,
    profile_table,
    ratios,
    spread,
    write,
)
from _shapes import DINOV2_LARGE, DINOV2_SMALL, TINY_VISION, photo, random_encoder
from PIL import Image

from camml import encoders
from camml.datastore import Datastore
from camml.devices import DTYPES, choose_dtype
from camml.images import open_image
from camml.types import Sample

BATCHES = (8, 16, 32, 64, 128)
RANDOM = {"tiny": TINY_VISION, "small": DINOV2_SMALL, "large": DINOV2_LARGE}


@dataclass(frozen=True)
class Line:
    """Images a second; `of_bare` compares each turn with the bare encoder's turn beside it."""

    way: str
    images_per_second: Spread
    of_bare: Spread


class NoTexts:
    """An encoder without its text half, so that images alone are counted."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self.name, self.revision, self.joint = encoder.name, encoder.revision, encoder.joint
        self.image_dim, self.text_dim = encoder.image_dim, 1

    def embed_images(self, images: Any) -> np.ndarray:
        """Of the whole encoder."""
        return np.asarray(self._encoder.embed_images(images))

    def embed_texts(self, texts: Any) -> np.ndarray:
        """Ones."""
        return np.ones((len(texts), 1), np.float32)


def best_batch(encoder: Any, images: list[Image.Image], device: torch.device) -> int:
    """The batch that is best for the bare encoder."""
    few = images[: max(BATCHES)]

    def bare(batch: int) -> None:
        encoder.batch_size = batch
        encoder.embed_images(few)

    sizes = [batch for batch in BATCHES if batch <= max(8, len(few))]
    times = by_turns({str(batch): lambda batch=batch: bare(batch) for batch in sizes}, 2, device)
    return min(sizes, key=lambda batch: min(times[str(batch)]))


def measure(encoder: Any, samples: list[Sample], repeats: int, device: torch.device) -> tuple[int, list[Line]]:
    """The best batch of the bare encoder, and the three ways."""
    images = [open_image(sample.image) for sample in samples if sample.image]
    best = encoder.batch_size = best_batch(encoder, images, device)
    alone, part = NoTexts(encoder), samples[: max(1, len(samples) // 8)]

    def ours() -> None:
        with tempfile.TemporaryDirectory() as work:
            Datastore.build(Path(work) / "store", samples, alone, batch_size=best)

    ways = {
        "bare": (len(images), lambda: encoder.embed_images(images)),
        "ours": (len(samples), ours),
        "loop": (len(part), lambda: [encoder.embed_images([open_image(sample.image)]) for sample in part]),
    }
    clocked = by_turns({way: work for way, (_, work) in ways.items()}, repeats, device)
    times = {way: [seconds / ways[way][0] for seconds in each] for way, each in clocked.items()}
    return best, [
        Line(way, Spread.of([1 / seconds for seconds in each]), ratios(times["bare"], each))
        for way, each in times.items()
    ]


def table(document: dict[str, Any]) -> str:
    """A result as Markdown: the floor first."""
    bare = spread(document["lines"][0]["images_per_second"])
    used = bare.middle * document["operations_an_image"] / document["matmul_per_second"]
    rows = [
        f"Floor: the bare encoder in batches of {document['batch']}, at {used:.0%} of the speed of a large matrix "
        f"product ({document['matmul_per_second'] / 1e12:.2f} TFLOP/s, {document['dtype']}).", "",
        "| way | images a second | × bare |", "|---|---|---|",
    ]  # fmt: skip
    rows += [
        f"| {line['way']} | {spread(line['images_per_second']):.1f} | {spread(line['of_bare']):.2f} |"
        for line in document["lines"]
    ]
    return "\n".join(rows)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mini", help="(%(default)s)")
    parser.add_argument("--random", choices=RANDOM, help="random weights in the shape of a DINOv2, instead")
    parser.add_argument("--dtype", choices=DTYPES, help="default: bfloat16 on a GPU, float32 on a CPU")
    parser.add_argument("--images", type=int, help="default: 128, on a GPU 4,096")
    parser.add_argument("--repeats", type=int, default=5, help="of every way (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/embedding.json"))
    args = parser.parse_args()
    device = pick_device()
    dtype, count = choose_dtype(args.dtype, device), args.images or (4096 if device.type == "cuda" else 128)
    named = str(dtype).removeprefix("torch.")
    with tempfile.TemporaryDirectory() as folder:
        encoder: Any = (
            random_encoder(Path(folder), RANDOM[args.random], dtype=named)
            if args.random
            else encoders.load(args.encoder, dtype=named)
        )
        chance = np.random.default_rng(0)
        samples = [Sample(str(number), "w1", photo(Path(folder) / f"{number}.jpg", chance)) for number in range(count)]
        image = open_image(samples[0].image)
        document = circumstances(device, dtype) | {
            "encoder": args.encoder if not args.random else f"random {args.random}", "images": count,
            "repeats": args.repeats, "operations_an_image": count_operations(lambda: encoder.embed_images([image])),
            "matmul_per_second": matmul_ceiling(device, dtype),
        }  # fmt: skip
        document["batch"], lines = measure(encoder, samples, args.repeats, device)
        document["lines"] = [asdict(line) for line in lines]
        images = [open_image(sample.image) for sample in samples[: document["batch"]]]
        document["profile"] = profile(lambda: encoder.embed_images(images), device)
    write(document, args.out)
    print(f"{table(document)}\n\nprofile of a batch of the encoder:\n\n{profile_table(document['profile'])}")


if __name__ == "__main__":
    main()
