"""How fast a prompt is read, and what of that time comes before the language model.

    python benchmarks/prefill.py                   # shapes of SmolLM2-135M on a CPU, of CaMML-7B on a GPU
    python benchmarks/prefill.py --size tiny --batch 1 --batch 4

Weights are random, so that nothing has to be downloaded. Prompts have an image and three samples, and those of a batch
one length, so that nothing is padded. The floor is all matrix products and attentions, counted while they run, at the
speed of a large matrix product on the same device. Four things take turns: `generate` of one token with everything;
the same with samples kept from before, of which only the last perceiver is left to run; the bare language model on
embeddings of that length; and tower and perceivers alone. Prints a table, and writes JSON, a profile and a plot.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from _measure import (
    Spread,
    by_turns,
    circumstances,
    count_operations,
    floor_line,
    matmul_ceiling,
    pick_device,
    profile,
    profile_table,
    ratios,
    spread,
    write,
)
from _shapes import CASES, Shape, build, inputs, pick_size
from decode import answer, generation
from torch import Tensor

from camml.devices import DTYPES, choose_dtype
from camml.model.modeling import SAMPLE


@dataclass(frozen=True)
class Read:
    """One line of the table: seconds of a batch, parts of the floor, and the parts that are not the language model."""

    batch: int
    tokens: int
    whole: Spread
    cached: Spread
    bare: Spread
    of_ceiling: Spread
    bare_of_ceiling: Spread
    front: Spread
    front_cached: Spread
    front_cached_floor: float


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CASES, help="default: 7b on a GPU, small on a CPU")
    parser.add_argument("--dtype", choices=DTYPES, help="default: bfloat16 on a GPU, float32 on a CPU")
    parser.add_argument("--batch", type=int, action="append", help="rows, repeatable (default: 1 and 8)")
    parser.add_argument("--repeats", type=int, default=5, help="of every measurement (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/prefill.json"))
    args = parser.parse_args()
    device = pick_device()
    dtype, size = choose_dtype(args.dtype, device), pick_size(args.size, device)
    model, ceiling = build(CASES[size], device, dtype), matmul_ceiling(device, dtype)
    document = circumstances(device, dtype) | {
        "size": size, "repeats": args.repeats, "matmul_per_second": ceiling, "lines": [], "profile": [],
    }  # fmt: skip
    with torch.inference_mode():
        for rows in args.batch or [1, 8]:
            work = ways(model, CASES[size], rows)
            document["lines"].append(asdict(prefill(work, rows, CASES[size].row, args.repeats, ceiling, device)))
            write(document, args.out)
        document["profile"] = profile(ways(model, CASES[size], 1)["cached"], device)
    write(document, args.out)
    print(f"{table(document)}\n\nprofile of one prompt, samples kept:\n\n{profile_table(document['profile'])}")


def ways(model: Any, shape: Shape, rows: int) -> dict[str, Callable[[], Any]]:
    """What is timed."""
    prompt = inputs(model, shape, rows, shape.row)
    options = generation("dynamic", prompt["input_ids"].device)
    names = ("input_ids", "pixel_values", "image_features", "context_embeds")
    features = {name: value for name, value in prompt.items() if name in names or name.startswith(SAMPLE)}
    samples = {name.removeprefix(SAMPLE): value for name, value in features.items() if name.startswith(SAMPLE)}
    texts = {name: samples.pop(name).flatten(0, 1) for name in ("input_ids", "attention_mask", "image_counts")}
    encoded = model.encode_samples(**texts, **samples)
    seen, seen_mask, read = (part.unflatten(0, (rows, -1)) for part in encoded)
    masks = [seen_mask, texts["attention_mask"].bool().unflatten(0, (rows, -1))]
    query = {name: features[name] for name in ("input_ids", "pixel_values")}

    def context() -> Tensor:
        return model.context_perceiver("compress", seen, masks[0], read, masks[1])

    embeds = model.embed(**features)
    kept = {name: prompt[name] for name in ("input_ids", "attention_mask", "pixel_values")}
    return {
        "whole": lambda: answer(model, prompt, 1, options),
        "cached": lambda: answer(model, {**kept, "context_embeds": context()}, 1, options),
        "bare": lambda: model.vlm.language_model.generate(inputs_embeds=embeds, max_new_tokens=1, **options),
        "front": lambda: model.embed(**features),
        "front_cached": lambda: model.embed(**query, context_embeds=context()),
    }


def prefill(
    work: dict[str, Callable[[], Any]], rows: int, tokens: int, repeats: int, ceiling: float, device: torch.device
) -> Read:
    """Reading a batch of prompts, in turns."""
    operations = {name: count_operations(call) for name, call in work.items()}
    times = by_turns(work, repeats, device)
    parts = {
        name: ratios(times[name], [less + bare for less, bare in zip(times[name], times["bare"], strict=True)])
        for name in ("front", "front_cached")
    }
    shares = {
        name: Spread.of([operations[name] / ceiling / time for time in times[name]]) for name in ("whole", "bare")
    }
    return Read(
        rows, tokens, *(Spread.of(times[name]) for name in ("whole", "cached", "bare")), shares["whole"],
        shares["bare"], parts["front"], parts["front_cached"], operations["front_cached"] / operations["cached"],
    )  # fmt: skip


def table(document: dict[str, Any]) -> str:
    """A result as Markdown: the floor first."""
    rows = [
        floor_line(document), "",
        "| batch | tokens a prompt | all, s | samples kept, s | bare language model, s | floor / all | floor / bare "
        "| tower and perceivers | samples kept | of its operations |", "|---" * 10 + "|",
    ]  # fmt: skip
    for line in document["lines"]:
        times = " | ".join(f"{spread(line[name]):.3f}" for name in ("whole", "cached", "bare"))
        names = ("of_ceiling", "bare_of_ceiling", "front", "front_cached")
        shares = " | ".join(f"{spread(line[name]):.0%}" for name in names)
        rows.append(f"| {line['batch']} | {line['tokens']} | {times} | {shares} | {line['front_cached_floor']:.0%} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
