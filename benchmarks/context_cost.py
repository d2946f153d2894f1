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
without that. The floor is the matrix products of the language model alone at the speed of a large one. Prints a table,
and writes JSON and a plot.
"""

import argparse
import json
import os
import platform
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from decode import CASES, Spread, build
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from train_step import Shape, clock, matmul_ceiling
from transformers import CLIPImageProcessorPil, PreTrainedTokenizerFast

from camml.features.samples import SampleFeatures
from camml.model import CamMLForConditionalGeneration, CamMLProcessor, fill_placeholders
from camml.types import Sample

WAYS = ("camml", "cached", "interleaved", "texts")
SHOTS = [0, 1, 3, 8, 16]
QUESTION = "w1 w2 w3 w4 w5 w6 w7 w8"
WORDS = 400
GB = 2**30


@dataclass(frozen=True)
class Cost:
    """One line of the table; `ratio` is to no context at all, each repeat to its own."""

    way: str
    shots: int
    tokens: int
    seconds: Spread
    model_seconds: Spread
    ratio: Spread
    of_floor: float
    peak_gb: float
    error: str = ""


class Bench:
    """A model with random weights, files of samples, and the four ways to ask."""

    def __init__(self, shape: Shape, device: torch.device, most: int, folder: Path) -> None:
        longest = most * (shape.words + (shape.image // shape.vision["patch_size"]) ** 2) + 2048
        shape = replace(shape, text={**shape.text, "max_position_embeddings": longest})
        self.model: CamMLForConditionalGeneration = build(shape, device)
        self.device, self.ceiling = device, matmul_ceiling(device)
        images = CLIPImageProcessorPil(
            size={"shortest_edge": shape.image}, crop_size={"height": shape.image, "width": shape.image}
        )
        self.processor = CamMLProcessor.build(self.model.config, images, tokenizer(), prompt_style="official")
        chance = np.random.default_rng(0)
        self.query = picture(folder / "query.jpg", chance)
        self.samples = [
            Sample(str(number), " ".join(f"w{n}" for n in chance.integers(0, WORDS, shape.words)),
                   picture(folder / f"{number}.jpg", chance))
            for number in range(most)
        ]  # fmt: skip
        self.kept = SampleFeatures(folder / "cache", self.model, self.processor)
        self.kept.fill(self.samples)

    def prepare(self, way: str, shots: int) -> dict[str, Tensor]:
        """What the model gets: files opened, texts tokenised."""
        given = self.samples[:shots]
        compressed = way in ("camml", "cached")
        found = self.processor(
            [QUESTION], [self.query], samples=[given if compressed else []], encode_samples=way == "camml"
        )
        inputs = dict(found)
        if compressed or not given:
            return inputs
        start, slots = inputs["input_ids"][:, :1], []
        for sample in given:
            slots += [self.model.config.image_token_id] * (self.model.config.patch_tokens * (way == "interleaved"))
            slots += self.processor.sample_ids(sample.text)
        inputs["input_ids"] = torch.cat([start, torch.tensor([slots]), inputs["input_ids"][:, 1:]], dim=1)
        if way == "interleaved":
            pixels = self.processor.pixels([sample.image for sample in given])
            assert pixels is not None
            inputs["pixel_values"] = torch.cat([pixels, inputs["pixel_values"]])
        return inputs

    def answer(self, way: str, shots: int, inputs: dict[str, Tensor]) -> Tensor:
        """The first token of the answer."""
        inputs = {name: tensor.to(self.device) for name, tensor in inputs.items()}
        inputs.pop("attention_mask")
        if way == "cached" and shots:
            inputs["context_embeds"] = self.kept.embed([self.samples[:shots]])
        if way == "interleaved":
            config, ids = self.model.config, inputs["input_ids"]
            words = self.model.get_input_embeddings()(ids.masked_fill(ids >= config.context_token_id, 0))
            features = self.model.embed_images(inputs["pixel_values"]).flatten(0, 1)[None]
            embeds = fill_placeholders(words, ids, config.image_token_id, features)
        else:
            embeds = self.model.embed(**inputs)
        output = self.model.language_model(inputs_embeds=embeds, use_cache=True, logits_to_keep=1)
        return output.logits[:, -1].argmax(dim=-1).cpu()


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word."""
    words = ["<pad>", "<s>", "</s>", "<unk>", *(f"w{number}" for number in range(WORDS))]
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def picture(file: Path, chance: np.random.Generator) -> Path:
    """A JPEG of 640 x 480 pixels that compresses about as a photo does."""
    small = Image.fromarray(chance.integers(0, 255, (30, 40, 3), dtype=np.uint8))
    small.resize((640, 480), Image.Resampling.BICUBIC).save(file, quality=90)
    return file


@contextmanager
def peak(device: torch.device) -> Iterator[Callable[[], float]]:
    """The most gigabytes in use inside: of the device, or of this process, which is looked at every 2 ms."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        yield lambda: torch.cuda.max_memory_allocated() / GB
        return
    most, done, page = [0], threading.Event(), resource.getpagesize()

    def look() -> None:
        while not done.is_set():
            most[0] = max(most[0], int(Path("/proc/self/statm").read_text().split()[1]) * page)
            time.sleep(0.002)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield lambda: most[0] / GB
    finally:
        done.set()
        watcher.join()


def measure(bench: Bench, shots: list[int], repeats: int) -> list[Cost]:
    """All ways with all numbers of samples, in turns; what does not fit the memory is a line that says so."""
    cases = [(way, number) for number in shots for way in (WAYS if number else ("camml",))]
    times: dict[tuple[str, int], list[tuple[float, float]]] = {case: [] for case in cases}
    tokens, memory, errors = {}, dict.fromkeys(cases, 0.0), dict.fromkeys(cases, "")
    for repeat in range(repeats + 1):
        for case in cases:
            if errors[case]:
                continue
            try:
                with torch.inference_mode(), peak(bench.device) as most:
                    started = clock(bench.device)
                    inputs = bench.prepare(*case)
                    prepared = clock(bench.device)
                    bench.answer(*case, inputs)
                    ended = clock(bench.device)
            except torch.OutOfMemoryError:
                errors[case] = "out of memory"
                continue
            tokens[case] = inputs["input_ids"].shape[1]
            memory[case] = max(memory[case], most())
            if repeat:  # the first warms up
                times[case].append((ended - started, ended - prepared))
    return [cost(case, times, tokens, memory[case], errors[case], bench) for case in cases]


def cost(case: tuple[str, int], times: Any, tokens: Any, memory: float, error: str, bench: Bench) -> Cost:
    """The line of a case; `of_floor` is the floor over the model's seconds."""
    if error:
        nothing = Spread.of([0.0])
        return Cost(*case, 0, nothing, nothing, nothing, 0.0, 0.0, error)
    whole, model = zip(*times[case], strict=True)
    ratios = [mine / none[0] for mine, none in zip(whole, times["camml", 0], strict=True)]
    parameters = sum(p.numel() for p in bench.model.language_model.model.layers.parameters())
    floor = 2 * parameters * tokens[case] / bench.ceiling
    return Cost(*case, tokens[case], Spread.of(list(whole)), Spread.of(list(model)), Spread.of(ratios),
                floor / Spread.of(list(model)).middle, memory)  # fmt: skip


def table(costs: list[Cost]) -> str:
    """The results as Markdown."""
    lines = ["| samples | way | LLM tokens | ms to the first token | model ms | × no context | of floor | peak GB |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for c in costs:
        times = f"{scaled(c.seconds):.0f} | {scaled(c.model_seconds):.0f} | {c.ratio:.2f}"
        figures = c.error or f"{times} | {c.of_floor:.0%} | {c.peak_gb:.2f}"
        lines.append(f"| {c.shots} | {c.way if c.shots else 'no context'} | {c.tokens} | {figures} |")
    return "\n".join(lines)


def scaled(seconds: Spread) -> Spread:
    """In milliseconds."""
    return Spread(seconds.middle * 1e3, seconds.least * 1e3, seconds.greatest * 1e3)


def goals(costs: list[Cost]) -> str:
    """What was aimed at with 16 samples, and what came out with the most there were; with and without preparation."""
    most, lines = max(c.shots for c in costs), []
    found = {(c.way, c.shots): c for c in costs if not c.error}
    aims = [("cached", ("camml", 0), "1.25"), ("camml", ("interleaved", 3), "1"), ("cached", ("interleaved", 3), "1")]
    for way, other, goal in aims:
        if most and (way, most) in found and other in found:
            mine, theirs = found[way, most], found[other]
            whole = mine.seconds.middle / theirs.seconds.middle
            model = mine.model_seconds.middle / theirs.model_seconds.middle
            lines.append(
                f"{way} with {most} samples over {other[0]} with {other[1]}: {whole:.2f}, of the model {model:.2f} "
                f"(goal: at most {goal})"
            )
    return "\n".join(lines)


def plot(costs: list[Cost], file: Path) -> None:
    """Seconds and tokens by number of samples."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for way in WAYS:
        line = [c for c in costs if not c.error and (c.way == way or not c.shots)]
        shots = [c.shots for c in line]
        middle = np.array([c.seconds.middle for c in line])
        bars = [middle - [c.seconds.least for c in line], [c.seconds.greatest for c in line] - middle]
        left.errorbar(shots, middle, bars, marker="o", capsize=3, label=way)
        right.plot(shots, [c.tokens for c in line], marker="o", label=way)
    left.set(xlabel="samples", ylabel="seconds to the first token", yscale="log")
    right.set(xlabel="samples", ylabel="tokens of the language model", yscale="log")
    left.legend()
    figure.savefig(file, dpi=120)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CASES, help="default: 7b on a GPU, small on a CPU")
    parser.add_argument("--shots", type=int, nargs="+", default=SHOTS, help="numbers of samples (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of every measurement (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/context_cost.json"))
    args = parser.parse_args()
    shots = sorted({0, *args.shots})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = args.size or ("7b" if device.type == "cuda" else "small")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(CASES[size], device, max(shots), Path(folder))
        costs = measure(bench, shots, args.repeats)
    print(f"{table(costs)}\n\n{goals(costs)}")
    document = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "cpu",
        "torch": torch.__version__, "transformers": transformers.__version__, "threads": torch.get_num_threads(),
        "load": os.getloadavg(), "size": size, "repeats": args.repeats, "matmul_per_second": bench.ceiling,
        "costs": [asdict(line) for line in costs],
    }  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, indent=1))
    plot(costs, args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
