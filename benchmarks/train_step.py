"""What one training step costs: memory, tokens a second, and the part of the device's speed that is put to use.

    python benchmarks/train_step.py                                  # every 7B case, on a GPU
    python benchmarks/train_step.py --size tiny                      # all of it in a minute on a CPU
    python benchmarks/train_step.py --case camml_7b:lora --rows 4

Weights are random, so that nothing has to be downloaded; shapes are those of the recipes. Rows come from photos and
texts on disk through the training's own loader, and the time in which a step waits for them is measured. MFU counts the
operations that training needs, once: 2 a parameter and token forward, 2 backward to the layer below, 2 for a gradient
where there is one, and those of attention; what gradient checkpointing does again is not in it, but it is in HFU. The
ceiling of both is a large bfloat16 matrix product on the same device. `bare` is the same step, by turns, of the
language model alone with its adapters or weights, as transformers and PEFT train it, on rows of the same length. Prints
a table, and writes JSON, a profile and a plot.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from _measure import (
    GB,
    Spread,
    circumstances,
    clock,
    matmul_ceiling,
    pick_device,
    profile,
    profile_table,
    spread,
    write,
)
from _shapes import SHAPES, TINY, Shape
from _trained import Batches, build, loader
from torch import Tensor

from camml.training import tuning

TUNES = ("full", "perceiver", "lora", "qlora")


@dataclass
class Result:
    """One line of the table; `mfu` and `hfu` are parts of the ceiling, `waiting` one of the time."""

    case: str
    tune: str
    rows: int
    tokens: int = 0
    seconds: Spread | None = None
    bare_seconds: Spread | None = None
    peak_gb: float = 0.0
    mfu: float = 0.0
    hfu: float = 0.0
    waiting: float = 0.0
    error: str = ""


def main() -> None:
    """Measure the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("full", "tiny"), help="default: full on a GPU, tiny on a CPU")
    parser.add_argument("--case", action="append", help="RECIPE:TUNE, repeatable (default: all)")
    parser.add_argument("--rows", type=int, default=1, help="rows of a step (%(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="steps measured, after two to warm up (%(default)s)")
    parser.add_argument("--workers", type=int, help="processes that prepare rows (default: 4, at most the cores)")
    parser.add_argument("--no-bare", action="store_true", help="leave out the language model alone")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/train_step.json"))
    args = parser.parse_args()
    device = pick_device()
    size = args.size or ("full" if device.type == "cuda" else "tiny")
    shapes = SHAPES if size == "full" else TINY
    document = circumstances(device, torch.bfloat16) | {
        "size": size, "matmul_per_second": matmul_ceiling(device, torch.bfloat16), "results": [], "profile": [],
    }  # fmt: skip
    workers = min(4, os.cpu_count() or 1) if args.workers is None else args.workers
    for case in args.case or [f"{name}:{tune}" for name in shapes for tune in TUNES]:
        name, _, tune = case.partition(":")
        bench = Bench(tune, shapes[name], args.rows, workers, device, not args.no_bare)
        result, document["profile"] = bench.measure(name, args.steps, document["matmul_per_second"])
        document["results"].append(asdict(result))
        write(document, args.out)
        del bench
        if device.type == "cuda":
            torch.cuda.empty_cache()
    print(f"{table(document)}\n\nprofile of a step of the last case:\n\n{profile_table(document['profile'])}")


class Bench:
    """A model that is trained, and where its rows come from."""

    def __init__(self, tune: str, shape: Shape, rows: int, workers: int, device: torch.device, bare: bool) -> None:
        self.tune, self.shape, self.rows, self.workers = tune, shape, rows, workers
        self.device, self.with_bare = device, bare

    def measure(self, name: str, steps: int, ceiling: float) -> tuple[Result, list[dict[str, Any]]]:
        """The cost of a step; a case that does not fit the memory is a line that says so."""
        result = Result(name, self.tune, self.rows)
        try:
            model = build(self.tune, self.shape, self.device)
            with tempfile.TemporaryDirectory() as folder:
                batches = loader(model, self.shape, self.rows, self.workers, Path(folder))
                shown = self._measured(result, model, batches, steps, ceiling)
        except torch.OutOfMemoryError:
            result.error = "out of memory"
            return result, []
        if self.device.type == "cuda":
            result.peak_gb = torch.cuda.max_memory_allocated() / GB
        return result, shown

    def _measured(
        self, result: Result, model: Any, batches: Batches, steps: int, ceiling: float
    ) -> list[dict[str, Any]]:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=self.device.type == "cuda")
        bare = self._bare(model, optimizer) if self.with_bare else None
        whole, waited, alone = [], 0.0, []
        for number in range(steps + 2):
            started = clock(self.device)
            batch = next(batches)
            ready = clock(self.device)
            step(model, optimizer, batch, self.device)
            ended = clock(self.device)
            if bare:
                bare(batch)
            if number >= 2:
                result.tokens += int(batch["attention_mask"].sum())
                whole.append(ended - started)
                waited += ready - started
                alone.append(clock(self.device) - ended)
        necessary, done = operations(model, result.tokens / steps, self.rows)
        result.seconds = Spread.of(whole)
        result.bare_seconds = Spread.of(alone) if bare else None
        result.waiting = waited / sum(whole)
        result.mfu, result.hfu = (steps * count / sum(whole) / ceiling for count in (necessary, done))
        result.tokens //= steps
        return profile(lambda: step(model, optimizer, batch, self.device), self.device)

    def _bare(self, model: Any, optimizer: torch.optim.Optimizer) -> Callable[[dict[str, Tensor]], None] | None:
        """A step of the language model alone, where any of it is trained."""
        language = tuning.bare(model).vlm.language_model
        if not any(parameter.requires_grad for parameter in language.parameters()):
            return None

        def work(batch: dict[str, Tensor]) -> None:
            ids = batch["input_ids"].clamp_max(language.config.vocab_size - 1)
            given = {"input_ids": ids, "attention_mask": batch["attention_mask"], "labels": batch["labels"]}
            step(language, optimizer, given, self.device)

        return work


def step(model: Any, optimizer: torch.optim.Optimizer, inputs: dict[str, Tensor], device: torch.device) -> None:
    """Forward, backward, update."""
    with torch.autocast(device.type, torch.bfloat16):
        loss = model(**inputs).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def operations(model: Any, tokens: float, rows: int) -> tuple[float, float]:
    """Of a step of the language model: those that training needs, and those that checkpointing makes of them.

    Source: Kaplan et al. (2020), section 2.1: 2 a parameter forward, 2 for the gradient of what comes in, 2 for that of
    a weight, where it is trained. Attention, of which half is masked: 2 T² D a layer forward, twice that backward.
    """
    every, trained = tuning.count_parameters(model)["language_model"]
    base = tuning.bare(model)
    words = base.get_input_embeddings().weight
    every, trained = every - words.numel(), trained - words.numel() * words.requires_grad
    text_config = base.config.get_text_config()
    length = tokens / rows
    attention = rows * 2.0 * length**2 * text_config.hidden_size * text_config.num_hidden_layers
    forward = 2.0 * tokens * every + attention
    needed = forward + 2.0 * tokens * (every + trained) + 2 * attention
    return needed, needed + forward


def table(document: dict[str, Any]) -> str:
    """A result as Markdown: the ceiling first."""
    lines = [
        f"Ceiling: {document['matmul_per_second'] / 1e12:.2f} TFLOP/s, a large bfloat16 matrix product.", "",
        "| recipe | trained | rows | s/step | bare, s/step | tokens/s | peak GB | MFU | HFU | waiting for data |",
        "|---" * 10 + "|",
    ]  # fmt: skip
    for result in document["results"]:
        start = f"| {result['case']} | {result['tune']} | {result['rows']} |"
        if result["error"]:
            lines.append(f"{start} {result['error']} |" + " |" * 6)
            continue
        seconds, bare = spread(result["seconds"]), result["bare_seconds"]
        alone = format(spread(bare), ".3f") if bare else "–"
        lines.append(
            f"{start} {seconds:.3f} | {alone} | {result['tokens'] / seconds.middle:.0f} | {result['peak_gb']:.1f} "
            f"| {result['mfu']:.1%} | {result['hfu']:.1%} | {result['waiting']:.1%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
