"""The cost of one question with a picture and three samples, part by part, alone and beside fifteen others.

    OMP_NUM_THREADS=1 python benchmarks/question_cost.py

Needs nothing but the shipped model: pictures and samples are made on the spot. Operations are those of all matrix
products, convolutions and attentions, counted while they run; seconds are those of the processor, the least of a few
turns, so that a busy machine counts little. What is made of the samples is kept, as `camml store cache` does. The last
table says how much faster sixteen questions can be answered at once than one after the other, by the length of the
answers: no queue and no server can do better than the sum of these parts.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import circumstances, count_operations
from PIL import Image

from camml import assistant
from camml.answering import Decoding
from camml.serving.engines import Prepared, Request, _front
from camml.serving.engines._attention import Segment, Window, run
from camml.serving.engines._front import PromptEncoder
from camml.serving.engines._probe import layout_of
from camml.serving.engines._slots import Slots
from camml.types import Neighbor, Query, Sample
from camml.weights import DEFAULT_MODEL

CLIENTS, LENGTHS, MEMORY = 16, (6, 32, 64, 256), 4 * 10**9
TEXT = "Pump {n} stands in hall B. Its seal was replaced in March; the spare part is number 47{n}, kept on shelf {n}."


def main() -> None:
    """Count, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/question_cost.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(args.model, Path(folder), args.turns)
    print(f"{'':34}{'GFLOP':>8}{'ms alone':>10}{'ms of 16':>10}{'GFLOP/s':>9}{'of 16':>7}{'ratio':>7}")
    for name, row in rows.items():
        speeds = [row["gflop"] / row[way] for way in ("alone", "together")]
        print(
            f"{name:34}{row['gflop']:8.2f}{1e3 * row['alone']:10.1f}{1e3 * row['together']:10.1f}"
            f"{speeds[0]:9.0f}{speeds[1]:7.0f}{row['alone'] / row['together']:7.2f}"
        )
    bounds = {length: bound(rows, length) for length in LENGTHS}
    print("\ntokens of an answer: most that 16 at once can be faster than one by one")
    for length, (whole, known) in bounds.items():
        print(f"{length:6}: {whole:.2f} with new pictures, {known:.2f} with pictures that were seen before")
    document = circumstances(torch.device("cpu"), torch.float32) | {"parts": rows, "bounds": bounds}
    args.out.write_text(json.dumps(document, indent=1) + "\n")


def bound(rows: dict[str, dict[str, float]], tokens: int) -> tuple[float, float]:
    """The ratio of both ways for answers of so many tokens, with pictures that are new and with known ones."""
    results = []
    for skipped in ((), ("encoder: picture", "tower: picture")):
        used = {name: row for name, row in rows.items() if name not in skipped}
        often = {name: tokens - 1 if name.endswith("a step") else 1 for name in used}
        times = {way: sum(row[way] * often[name] for name, row in used.items()) for way in ("alone", "together")}
        results.append(round(times["alone"] / times["together"], 2))
    return results[0], results[1]


def measure(name: str, folder: Path, turns: int) -> dict[str, dict[str, float]]:
    """All parts, each with the operations of one question and the seconds of it both ways."""
    generator = np.random.default_rng(0)

    def picture(number: int) -> Path:
        colours = generator.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((640, 480), Image.Resampling.NEAREST).save(folder / f"{number}.png")
        return folder / f"{number}.png"

    model = assistant.load(name)
    front = _front.load(model.folder, sample_cache=str(folder / "cache"))
    front.model.requires_grad_(False)  # or operations cannot be counted
    front.take_apart()
    layout = layout_of(front.language_model)
    encoder = model.encoder
    samples = [Sample(f"s{n}", TEXT.format(n=n), picture(n)) for n in range(3)]
    context = tuple(Neighbor(sample, 1.0) for sample in samples)
    asked = [f"Which spare part does pump {n} need, and where is it?" for n in range(CLIENTS)]
    shown = [Image.open(picture(100 + n)).convert("RGB") for n in range(CLIENTS)]
    requests = [Request(Query(text, image), context, Decoding(300)) for text, image in zip(asked, shown, strict=True)]
    rows = {
        "encoder: picture": part(lambda n: encoder.embed_images(shown[:n]), turns),
        "encoder: words": part(lambda n: encoder.embed_texts(asked[:n]), turns),
    }
    prepared = [front.prepare(request) for request in requests]

    def look(n: int) -> None:
        for item in prepared[:n]:
            item.inputs.features.clear()
        front._pictures._kept.clear()
        front.look(prepared[:n], CLIENTS)

    rows["tower: picture"] = part(look, turns)
    look(CLIENTS)
    rows["perceiver, words to vectors"] = part(lambda n: [front.embed(item) for item in prepared[:n]], turns)
    embeds = [front.embed(item) for item in prepared]
    return rows | language(front, layout, prepared, embeds, turns)


def language(
    front: PromptEncoder, layout: Any, prepared: list[Prepared], embeds: list[torch.Tensor], turns: int
) -> dict[str, dict[str, float]]:
    """The language model: prompts read, and a step with the last of each prompt's rows."""
    model, slots = front.language_model, Slots(layout, MEMORY)
    rows = [slots.take(item.prompt_tokens + 64) for item in prepared]

    @torch.inference_mode()
    def read(n: int) -> None:
        for row in rows[:n]:
            row.count = 0
        segments = [
            Segment(row.block, row.block.rows.index(row), 1, len(embed))
            for row, embed in zip(rows[:n], embeds[:n], strict=True)
        ]
        ends = np.cumsum([len(embed) for embed in embeds[:n]]) - 1
        run(model, Window(segments), torch.cat(embeds[:n]), ends.tolist())

    @torch.inference_mode()
    def step(n: int) -> None:
        for row, embed in zip(rows, embeds, strict=True):
            row.count = len(embed)
        alike: dict[int, list[Any]] = {}
        for row in rows[:n]:
            alike.setdefault(id(row.block), []).append(row)
        segments = [Segment(its[0].block, 0, len(its), 1) for its in alike.values()]
        run(model, Window(segments), torch.cat([embed[-1:] for embed in embeds[:n]]), list(range(n)))

    tokens = len(embeds[0])
    results = {f"language model: {tokens} tokens read": part(read, turns)}
    read(CLIENTS)
    return results | {"language model: a step": part(step, turns)}


def part(work: Callable[[int], Any], turns: int) -> dict[str, float]:
    """Operations of one, and seconds of the processor of one alone and of one of all, after a turn to warm up."""
    alone, together = [], []
    for _ in range(turns + 1):
        for times, n in ((alone, 1), (together, CLIENTS)):
            begun = time.process_time()
            work(n)
            times.append((time.process_time() - begun) / n)
    return {
        "gflop": count_operations(lambda: work(1)) / 1e9,
        "alone": min(alone[1:]),
        "together": min(together[1:]),
    }


if __name__ == "__main__":
    main()
