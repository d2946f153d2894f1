"""What an answer costs beyond what the bare language model costs, token by token, and how near that is to the limit.

    python benchmarks/decode.py                        # shapes of SmolLM2-135M on a CPU, of CaMML-7B on a GPU
    python benchmarks/decode.py --size tiny --compile  # all of it in a minute, the compiled way too
    python benchmarks/decode.py --batch 1 --batch 8

Weights are random, so that nothing has to be downloaded. `ours` is `generate` of a CaMML model with an image and three
samples for every row; `bare` is `generate` of the same language model on a prompt of as many tokens, in turns with
ours in the same process. The floor of a decoding step is the time to read the weights once, at the speed at which this
device reads memory. A result is kept as soon as it is there. Prints a table, and writes JSON, a profile and a plot.
"""

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from _measure import (
    Spread,
    circumstances,
    clock,
    pick_device,
    profile,
    profile_table,
    ratios,
    read_speed,
    spread,
    write,
)
from _shapes import CASES, Shape, build, inputs, pick_size
from torch import Tensor
from transformers import CompileConfig

from camml.devices import DTYPES, choose_dtype


@dataclass(frozen=True)
class Decoded:
    """One line of the table; times are seconds of one decoding step of the whole batch, `of_floor` the part it is."""

    cache: str
    batch: int
    ours: Spread
    bare: Spread
    ratio: Spread
    cpu_ratio: Spread
    of_floor: Spread
    first_call_seconds: float
    second_call_seconds: float
    recompiled: int


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CASES, help="default: 7b on a GPU, small on a CPU")
    parser.add_argument("--dtype", choices=DTYPES, help="default: bfloat16 on a GPU, float32 on a CPU")
    parser.add_argument("--batch", type=int, action="append", help="rows, repeatable (default: 1, 8, 32; on a CPU 1)")
    parser.add_argument("--new-tokens", type=int, default=64, help="tokens of an answer (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of every measurement (%(default)s)")
    parser.add_argument("--ways", nargs="+", choices=("static", "dynamic"), help="default: on a GPU both, static first")
    parser.add_argument("--compile", action="store_true", help="the static cache and a compiled step on a CPU too")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/decode.json"))
    args = parser.parse_args()
    device = pick_device()
    dtype, size = choose_dtype(args.dtype, device), pick_size(args.size, device)
    model, speed = build(CASES[size], device, dtype), read_speed(device)
    weights = sum(p.numel() * p.element_size() for p in read_every_step(model.vlm.language_model))
    document = circumstances(device, dtype) | {
        "size": size, "new_tokens": args.new_tokens, "repeats": args.repeats, "read_bytes_per_second": speed,
        "weights_bytes": weights, "floor_seconds": weights / speed, "lines": [], "profile": [],
    }  # fmt: skip
    ways = args.ways or (["static", "dynamic"] if args.compile or device.type == "cuda" else ["dynamic"])
    with torch.inference_mode():
        for way in ways:
            for rows in args.batch or ([1, 8, 32] if device.type == "cuda" else [1]):
                line = decode(model, CASES[size], way, rows, args.new_tokens, args.repeats, weights / speed)
                document["lines"].append(asdict(line))
                write(document, args.out)
        prompt, options = inputs(model, CASES[size], 1, CASES[size].row), generation("dynamic", device)
        document["profile"] = profile(lambda: answer(model, prompt, 9, options), device)
    write(document, args.out)
    print(f"{table(document)}\n\nprofile of a prompt and 8 steps:\n\n{profile_table(document['profile'])}")


def decode(model: Any, shape: Shape, cache: str, rows: int, new_tokens: int, repeats: int, floor: float) -> Decoded:
    """Decoding with CaMML and with its bare language model, in turns.

    A step is the difference between answers of `new_tokens` + 1 tokens and of one token, so that the prompt is not in
    it. The first call warms up on the longest prompt; after it others are used, to see whether anything recompiles.
    """
    device = next(model.parameters()).device
    options = generation(cache, device)
    longest = inputs(model, shape, rows, shape.row)
    calls = []
    for _ in range(2):
        started = clock(device)
        answer(model, longest, new_tokens + 1, options)
        calls.append(clock(device) - started)
    answer(model.vlm.language_model, bare(model, longest), new_tokens + 1, options)
    compiled = graphs()
    ours, plain, cpu = [], [], []
    for length in [shape.row - (7 * number) % 32 for number in range(repeats)]:
        prompt = inputs(model, shape, rows, length)
        mine, mine_cpu = step_seconds(model, prompt, new_tokens, options, device)
        theirs, their_cpu = step_seconds(model.vlm.language_model, bare(model, prompt), new_tokens, options, device)
        ours.append(mine)
        plain.append(theirs)
        cpu.append(mine_cpu / their_cpu)
    return Decoded(
        cache, rows, Spread.of(ours), Spread.of(plain), ratios(ours, plain), Spread.of(cpu),
        Spread.of([floor / seconds for seconds in ours]), calls[0], calls[1], graphs() - compiled,
    )  # fmt: skip


def generation(cache: str, device: torch.device) -> dict[str, Any]:
    """Arguments of `generate`: every answer goes on to its last token."""
    options: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    if cache == "static":
        options["cache_implementation"] = "static"
        if device.type == "cpu":  # transformers compiles on a GPU by itself
            compiling = CompileConfig(backend="eager", mode=None)
            compiling._compile_all_devices = True
            options["compile_config"] = compiling
    return options


def bare(model: Any, prompt: dict[str, Tensor]) -> dict[str, Tensor]:
    """The prompt of the language model alone: words in the places of context and images."""
    ids = prompt["input_ids"]
    return {
        "input_ids": ids.masked_fill(ids >= model.config.context_token_id, 5),
        "attention_mask": prompt["attention_mask"],
    }


def answer(model: Any, prompt: dict[str, Tensor], tokens: int, options: dict[str, Any]) -> None:
    """Generate exactly `tokens` tokens."""
    output = model.generate(**prompt, max_new_tokens=tokens, **options)
    assert output.shape[1] == prompt["input_ids"].shape[1] + tokens


def step_seconds(
    model: Any, prompt: dict[str, Tensor], new_tokens: int, options: dict[str, Any], device: torch.device
) -> tuple[float, float]:
    """Seconds, and seconds of the processor, of one decoding step."""
    seconds, processor = [], []
    for tokens in (1, new_tokens + 1):
        worked, started = time.process_time(), clock(device)
        answer(model, prompt, tokens, options)
        seconds.append(clock(device) - started)
        processor.append(time.process_time() - worked)
    return (seconds[1] - seconds[0]) / new_tokens, (processor[1] - processor[0]) / new_tokens


def read_every_step(language_model: Any) -> list[Tensor]:
    """The weights that one token needs: all but a table of words that is not the head too."""
    words, head = language_model.get_input_embeddings().weight, language_model.get_output_embeddings().weight
    return [p for p in language_model.parameters() if p is not words or p is head]


def graphs() -> int:
    """How many graphs torch has compiled so far."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def table(document: dict[str, Any]) -> str:
    """A result as Markdown: the floor first."""
    floor, weights, speed = (document[name] for name in ("floor_seconds", "weights_bytes", "read_bytes_per_second"))
    rows = [
        f"Floor: {weights / 1e9:.2f} GB of weights ({document['dtype']}) at {speed / 1e9:.1f} GB/s, "
        f"{1e3 * floor:.1f} ms a step.", "",
        "| cache | batch | ours, ms/step | bare, ms/step | ours / bare | processor | tokens/s | floor / ours "
        "| first call, second call, s | recompiled |", "|---" * 10 + "|",
    ]  # fmt: skip
    for line in document["lines"]:
        ours, plain = (spread(line[name]).times(1e3) for name in ("ours", "bare"))
        rows.append(
            f"| {line['cache']} | {line['batch']} | {ours:.1f} | {plain:.1f} | {spread(line['ratio']):.3f} "
            f"| {spread(line['cpu_ratio']):.3f} | {1e3 * line['batch'] / ours.middle:.1f} "
            f"| {spread(line['of_floor']):.0%} | {line['first_call_seconds']:.1f}, {line['second_call_seconds']:.1f} "
            f"| {line['recompiled']} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
