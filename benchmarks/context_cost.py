"""What a context costs: seconds to the first token, memory and tokens of the language model, by number of samples.

    python benchmarks/context_cost.py                    # shapes of SmolLM2-135M on a CPU, of CaMML-7B on a GPU
    python benchmarks/context_cost.py --size tiny        # all of it in a minute
    python benchmarks/context_cost.py --shots 0 3 --repeats 3

Four ways to show N samples, each an image and a text, to the same language model beside a question about an image:

    camml        compressed to a fixed number of tokens
    cached       the same, with what the perceivers make of each sample kept on disk (`camml store cache`)
    interleaved  all patches and all words of every sample in the prompt, as multi-image models of LLaVA's kind do
    texts        the words of every sample in the prompt; their images are not seen

Weights are random, so that nothing has to be downloaded. Ways take turns in one process. Seconds are from files and
texts to the first token: decoding and resizing images and tokenising count, for all alike. `model` is the part
without that. The floor is all matrix products and attentions of a way, counted while they run, at the speed of a large
matrix product on the same device. Prints a table, and writes JSON, a profile and a plot.
"""

import argparse
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import (
    Spread,
    circumstances,
    clock,
    count_operations,
    floor_line,
    matmul_ceiling,
    peak,
    pick_device,
    profile,
    profile_table,
    ratios,
    spread,
    write,
)
from _shapes import CASES, Shape, build, photo, pick_size, text, tokenizer
from torch import Tensor
from transformers import CLIPImageProcessorPil

from camml.devices import DTYPES, choose_dtype
from camml.features.samples import SampleFeatures
from camml.model.llava_parts import fill_places
from camml.model.parts import processor_of_parts
from camml.types import Sample

WAYS = ("camml", "cached", "interleaved", "texts")
SHOTS = [0, 1, 3, 8, 16]
QUESTION = "w1 w2 w3 w4 w5 w6 w7 w8"


@dataclass(frozen=True)
class Cost:
    """One line of the table; `ratio` is to no context at all, each repeat to its own, `floor_ratio` that of operations.

    Attributes:
      floor_seconds: of the model, at the speed of a large matrix product.
    """

    way: str
    shots: int
    tokens: int
    seconds: Spread
    model_seconds: Spread
    ratio: Spread
    floor_seconds: float
    floor_ratio: float
    peak_gb: float


class Bench:
    """A model with random weights, files of samples, and the four ways to ask."""

    def __init__(self, shape: Shape, device: torch.device, dtype: torch.dtype, most: int, folder: Path) -> None:
        longest = most * (shape.words + (shape.image // shape.vision["patch_size"]) ** 2) + 2048
        shape = replace(shape, text={**shape.text, "max_position_embeddings": longest})
        self.model = build(shape, device, dtype)
        self.device, self.ceiling = device, matmul_ceiling(device, dtype)
        images = CLIPImageProcessorPil(
            size={"shortest_edge": shape.image}, crop_size={"height": shape.image, "width": shape.image}
        )
        self.processor = processor_of_parts(self.model.config, images, tokenizer(), prompt_style=shape.style)
        chance = np.random.default_rng(0)
        self.query = photo(folder / "query.jpg", chance)
        self.samples = [
            Sample(str(number), text(shape.words, chance), photo(folder / f"{number}.jpg", chance))
            for number in range(most)
        ]
        self.kept = SampleFeatures(folder / "cache", self.model, self.processor)
        self.kept.fill(self.samples)

    def prepare(self, way: str, shots: int) -> dict[str, Tensor]:
        """What the model gets: files opened, texts tokenised."""
        given = self.samples[:shots]
        compressed = way in ("camml", "cached")
        prepared = self.processor.prepare(
            [QUESTION], [self.query], samples=[given if compressed else []], encode_samples=way == "camml"
        )
        inputs = dict(prepared)
        if compressed or not given:
            return inputs
        start, slots = inputs["input_ids"][:, :1], []
        for sample in given:
            slots += [self.model.config.image_token_id] * (self.model.vlm.config.patch_tokens * (way == "interleaved"))
            slots += self.processor.sample_ids(sample.text)
        inputs["input_ids"] = torch.cat([start, torch.tensor([slots]), inputs["input_ids"][:, 1:]], dim=1)
        if way == "interleaved":
            pixels = self.processor.pixels([sample.image for sample in given])
            assert pixels is not None
            inputs["pixel_values"] = torch.cat([pixels, inputs["pixel_values"]])
        return inputs

    def answer(self, way: str, shots: int, inputs: dict[str, Tensor]) -> Tensor:
        """The first token of the answer."""
        inputs = {name: tensor.to(self.device) for name, tensor in inputs.items() if name != "attention_mask"}
        if way == "cached" and shots:
            inputs["context_embeds"] = self.kept.embed([self.samples[:shots]])
        if way == "interleaved":
            config, ids = self.model.config, inputs["input_ids"]
            words = self.model.get_input_embeddings()(ids.masked_fill(ids >= config.context_token_id, 0))
            features = self.model.vlm.patches(inputs["pixel_values"]).flatten(0, 1)[None]
            embeds = fill_places(words, ids == config.image_token_id, config.image_token_id, features)
        else:
            embeds = self.model.embed(**inputs)
        output = self.model.vlm.language_model(inputs_embeds=embeds, use_cache=True, logits_to_keep=1)
        return output.logits[:, -1].argmax(dim=-1).cpu()


def measure(bench: Bench, shots: list[int], repeats: int) -> tuple[list[Cost], list[tuple[str, int]]]:
    """All ways with all numbers of samples, in turns; and those that do not fit the memory."""
    cases = [(way, number) for number in shots for way in (WAYS if number else ("camml",))]
    times: dict[tuple[str, int], list[tuple[float, float]]] = {case: [] for case in cases}
    tokens, memory, too_large = {}, dict.fromkeys(cases, 0.0), []
    for repeat in range(repeats + 1):
        for case in [case for case in cases if case not in too_large]:
            try:
                with torch.inference_mode(), peak(bench.device) as most:
                    started = clock(bench.device)
                    inputs = bench.prepare(*case)
                    prepared = clock(bench.device)
                    bench.answer(*case, inputs)
                    ended = clock(bench.device)
            except torch.OutOfMemoryError:
                too_large.append(case)
                continue
            tokens[case] = inputs["input_ids"].shape[1]
            memory[case] = max(memory[case], most())
            if repeat:  # the first warms up
                times[case].append((ended - started, ended - prepared))
    fitting = [case for case in cases if case not in too_large]
    operations = {case: operations_of(bench, case) for case in fitting}
    return [cost(case, times, tokens[case], memory[case], operations, bench.ceiling) for case in fitting], too_large


def operations_of(bench: Bench, case: tuple[str, int]) -> float:
    """What the model computes in a case."""
    with torch.inference_mode():
        inputs = bench.prepare(*case)
    return count_operations(lambda: bench.answer(*case, inputs))


def cost(
    case: tuple[str, int], times: Any, tokens: int, memory: float, operations: dict[Any, float], ceiling: float
) -> Cost:
    """The line of a case."""
    whole, model = zip(*times[case], strict=True)
    none = "camml", 0
    return Cost(
        *case, tokens, Spread.of(whole), Spread.of(model), ratios(whole, [time[0] for time in times[none]]),
        operations[case] / ceiling, operations[case] / operations[none], memory,
    )  # fmt: skip


def table(document: dict[str, Any]) -> str:
    """A result as Markdown: the floor first."""
    lines = [
        floor_line(document), "",
        "| samples | way | LLM tokens | ms to the first token | model ms | floor / model | × no context "
        "| × no context, operations | peak GB |", "|---" * 9 + "|",
    ]  # fmt: skip
    for row in document["costs"]:
        model = spread(row["model_seconds"])
        lines.append(
            f"| {row['shots']} | {row['way'] if row['shots'] else 'no context'} | {row['tokens']} "
            f"| {spread(row['seconds']).times(1e3):.0f} | {model.times(1e3):.0f} "
            f"| {row['floor_seconds'] / model.middle:.0%} | {spread(row['ratio']):.2f} | {row['floor_ratio']:.2f} "
            f"| {row['peak_gb']:.2f} |"
        )
    lines += [f"| {shots} | {way} | out of memory |" + " |" * 6 for way, shots in document["too_large"]]
    return "\n".join(lines)


def goals(document: dict[str, Any]) -> str:
    """What was aimed at with 16 samples, and what came out with the most there were, with its floor."""
    results = {(row["way"], row["shots"]): row for row in document["costs"]}
    most, lines = max(shots for _, shots in results), []
    aims = [("cached", ("camml", 0), "1.25"), ("cached", ("interleaved", 3), "1"), ("camml", ("interleaved", 3), "1")]
    for way, other, goal in aims:
        if most and (way, most) in results and other in results:
            mine, theirs = results[way, most], results[other]
            apart = mine["seconds"]["middle"] / theirs["seconds"]["middle"]
            whole = apart if other[1] else mine["ratio"]["middle"]  # as in the table: each repeat to its own
            operations = mine["floor_seconds"] / theirs["floor_seconds"]
            against = f"{other[0]} with {other[1]}" if other[1] else "no context"
            lines.append(
                f"- `{way}` with {most} samples takes {whole:.2f} times as long as {against} "
                f"(operations {operations:.2f}; goal: at most {goal})"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CASES, help="default: 7b on a GPU, small on a CPU")
    parser.add_argument("--dtype", choices=DTYPES, help="default: bfloat16 on a GPU, float32 on a CPU")
    parser.add_argument("--shots", type=int, nargs="+", default=SHOTS, help="numbers of samples (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of every measurement (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/context_cost.json"))
    args = parser.parse_args()
    shots, device = sorted({0, *args.shots}), pick_device()
    dtype, size = choose_dtype(args.dtype, device), pick_size(args.size, device)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(CASES[size], device, dtype, max(shots), Path(folder))
        document = circumstances(device, dtype) | {
            "size": size, "repeats": args.repeats, "matmul_per_second": bench.ceiling,
        }  # fmt: skip
        costs, document["too_large"] = measure(bench, shots, args.repeats)
        document["costs"] = [asdict(line) for line in costs]
        case = "cached", max(shots)
        with torch.inference_mode():
            document["profile"] = profile(lambda: bench.answer(*case, bench.prepare(*case)), device)
    write(document, args.out)
    print(f"{table(document)}\n\n{goals(document)}\n\nprofile of `cached` with {max(shots)} samples:\n")
    print(profile_table(document["profile"]))


if __name__ == "__main__":
    main()
