"""Images a second from files to the vectors of a datastore, beside the bare encoder and a loop over single images.

    python benchmarks/embedding.py                          # DINOv2-small, on a GPU where there is one
    python benchmarks/embedding.py --encoder clip-vit-l --images 4096

The floor is the bare encoder: the same images, decoded before the clock starts, in the batches that are best for it.
`ours` is what `camml store build` does, from files, without the texts. `loop` opens, embeds and keeps one image after
the other. Ways take turns. Prints a table, and writes JSON and a plot.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from decode import Spread
from PIL import Image

from camml import encoders
from camml.datastore.embedding import embed
from camml.images import open_image
from camml.types import Sample

BATCHES = (8, 16, 32, 64, 128)


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


def draw(folder: Path, count: int) -> list[Sample]:
    """JPEG files of 640 x 480 pixels."""
    chance = np.random.default_rng(0)
    found = []
    for number in range(count):
        small = Image.fromarray(chance.integers(0, 255, (30, 40, 3), dtype=np.uint8))
        file = folder / f"{number}.jpg"
        small.resize((640, 480), Image.Resampling.BICUBIC).save(file, quality=90)
        found.append(Sample(str(number), "", file))
    return found


def seconds(act: Any) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    act()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def measure(encoder: Any, samples: list[Sample], repeats: int) -> tuple[int, list[Line]]:
    """The best batch of the bare encoder, and the three ways."""
    images = [open_image(sample.image) for sample in samples if sample.image]
    few = images[: max(BATCHES)]

    def bare(batch: int, some: list[Image.Image]) -> None:
        encoder.batch_size = batch
        encoder.embed_images(some)

    bare(BATCHES[0], few[:8])  # warms up
    best = min(BATCHES, key=lambda batch: min(seconds(lambda: bare(batch, few)) for _ in range(2)))
    alone = NoTexts(encoder)
    times: dict[str, list[float]] = {"bare": [], "ours": [], "loop": []}
    part = samples[: max(1, len(samples) // 8)]
    for _ in range(repeats):
        times["bare"].append(seconds(lambda: bare(best, images)) / len(images))
        encoder.batch_size = best
        with tempfile.TemporaryDirectory() as work:
            times["ours"].append(seconds(lambda: embed(samples, alone, Path(work), best)) / len(samples))
        times["loop"].append(seconds(lambda: [encoder.embed_images([open_image(s.image)]) for s in part]) / len(part))
    return best, [
        Line(
            way,
            Spread.of([1 / one for one in each]),
            Spread.of([floor / one for floor, one in zip(times["bare"], each, strict=True)]),
        )
        for way, each in times.items()
    ]


def table(lines: list[Line]) -> str:
    """The results as Markdown."""
    rows = [f"| {line.way} | {line.images_per_second:.1f} | {line.of_bare:.2f} |" for line in lines]
    return "\n".join(["| way | images a second | × bare |", "|---|---|---|", *rows])


def plot(lines: list[Line], file: Path) -> None:
    """Bars with their spread."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    middle = np.array([line.images_per_second.middle for line in lines])
    reach = [middle - [line.images_per_second.least for line in lines],
             [line.images_per_second.greatest for line in lines] - middle]  # fmt: skip
    axes.bar([line.way for line in lines], middle, yerr=reach, capsize=4)
    axes.set(ylabel="images a second")
    figure.savefig(file, dpi=120)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="mini", help="(%(default)s)")
    parser.add_argument("--images", type=int, help="default: 128, on a GPU 4,096")
    parser.add_argument("--repeats", type=int, default=5, help="of every way (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/embedding.json"))
    args = parser.parse_args()
    gpu = torch.cuda.is_available()
    encoder: Any = encoders.load(args.encoder, **({"dtype": "bfloat16"} if gpu else {}))
    with tempfile.TemporaryDirectory() as folder:
        best, lines = measure(encoder, draw(Path(folder), args.images or (4096 if gpu else 128)), args.repeats)
    print(f"{table(lines)}\n\nbest batch of the bare encoder: {best}")
    document = {
        "device": torch.cuda.get_device_name() if gpu else platform.processor() or platform.machine(),
        "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "load": os.getloadavg(),
        "encoder": args.encoder, "batch": best, "repeats": args.repeats, "lines": [asdict(line) for line in lines],
    }  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, indent=1))
    plot(lines, args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
