"""How fast a prompt is read, and what of that time comes before the language model.

    python benchmarks/prefill.py                   # shapes of SmolLM2-135M on a CPU, of CaMML-7B on a GPU
    python benchmarks/prefill.py --size tiny --batch 1 --batch 4

Weights are random, so that nothing has to be downloaded. The ceiling is the matrix products of the language model
(without those of attention) at the speed of a large one on the same device. Prompts of a batch are of one length, so
that there is no padding. Prints a table and writes JSON.
"""

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from decode import CASES, Spread, answer, build, generation, inputs, read_every_step
from torch import Tensor
from train_step import Shape, clock, matmul_ceiling

from camml.model.embedding import FEATURE_INPUTS


@dataclass(frozen=True)
class Read:
    """One line of the table; `front` and `front_cached` are parts of the time to the first token."""

    batch: int
    seconds: Spread
    of_ceiling: float
    front: float
    front_cached: float


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CASES, help="default: 7b on a GPU, small on a CPU")
    parser.add_argument("--batch", type=int, action="append", help="rows, repeatable (default: 1, 8; on a CPU 1)")
    parser.add_argument("--repeats", type=int, default=5, help="of every measurement (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/prefill.json"))
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = args.size or ("7b" if device.type == "cuda" else "small")
    model, ceiling = build(CASES[size], device), matmul_ceiling(device)
    with torch.inference_mode():
        batches = args.batch or ([1, 8] if device.type == "cuda" else [1])
        lines = [prefill(model, CASES[size], rows, args.repeats, ceiling) for rows in batches]
    print(f"matrix products run at {ceiling / 1e12:.2f} TFLOP/s at best\n\n{table(lines)}")
    document = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "cpu",
        "torch": torch.__version__, "transformers": transformers.__version__, "threads": torch.get_num_threads(),
        "size": size, "matmul_per_second": ceiling, "lines": [asdict(line) for line in lines],
    }  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, indent=1))


def prefill(model: Any, shape: Shape, rows: int, repeats: int, ceiling: float) -> Read:
    """Reading prompts: all of it, and how much of that comes before the language model."""
    prompt = inputs(model, shape, rows, shape.row)
    options = generation("dynamic", model.device)
    features = {name: prompt[name] for name in ("input_ids", *FEATURE_INPUTS) if name in prompt}
    samples = {name: value.flatten(0, 1) for name, value in features.items() if name.startswith("sample_")}
    seen, read = (part.unflatten(0, (rows, -1)) for part in model.encode_samples(**samples))
    query = {name: features[name] for name in ("input_ids", "pixel_values")}

    def cached() -> Tensor:
        everywhere = (torch.ones(part.shape[:3], dtype=torch.bool, device=part.device) for part in (seen, read))
        places = next(everywhere), next(everywhere)
        return model.embed(**query, context_embeds=model.context_perceiver.compress(seen, places[0], read, places[1]))

    embeds = model.embed(**features)
    alone = timed(
        lambda: model.language_model.generate(inputs_embeds=embeds, max_new_tokens=1, **options), repeats, model.device
    ).middle
    whole = timed(lambda: answer(model, prompt, 1, options), repeats, model.device)
    front = timed(lambda: model.embed(**features), repeats, model.device).middle
    less = timed(cached, repeats, model.device).middle
    operations = 2.0 * sum(p.numel() for p in read_every_step(model.language_model)) * prompt["input_ids"].numel()
    return Read(rows, whole, operations / alone / ceiling, front / (front + alone), less / (less + alone))


def timed(work: Callable[[], Any], repeats: int, device: torch.device) -> Spread:
    """Seconds of `work`, after once to warm up."""
    work()
    found = []
    for _ in range(repeats):
        started = clock(device)
        work()
        found.append(clock(device) - started)
    return Spread.of(found)


def table(lines: list[Read]) -> str:
    """The results as Markdown."""
    rows = [
        "| batch | prompt, s | of the matmul ceiling | tower and perceivers | with cached samples |",
        "|---" * 5 + "|",
    ]
    rows += [
        f"| {one.batch} | {one.seconds:.3f} | {one.of_ceiling:.0%} | {one.front:.0%} | {one.front_cached:.0%} |"
        for one in lines
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
