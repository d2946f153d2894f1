"""What an answer costs beyond what the bare language model costs, token by token, and how near that is to the limit.

    python benchmarks/decode.py                        # shapes of SmolLM2-135M on a CPU, of CaMML-7B on a GPU
    python benchmarks/decode.py --size tiny --compile  # all of it in a minute, the compiled way too
    python benchmarks/decode.py --batch 1 --batch 8

Weights are random, so that nothing has to be downloaded. `ours` is `generate` of a CaMML model with a picture and three
samples for every row; `bare` is `generate` of the same language model on a prompt of as many tokens, in turns with
ours in the same process. The floor of a decoding step is the time to read the weights once, at the speed at which this
device copies memory. Prints a table and writes JSON.
"""

import argparse
import json
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from train_step import SHAPES, TINY, Shape, clock
from transformers import CLIPVisionConfig, CompileConfig, LlamaConfig

from camml.model import CamMLConfig, CamMLForConditionalGeneration

SMOLLM2 = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
           "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True}  # fmt: skip
DINOV2_SMALL = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 12, "num_attention_heads": 6,
                "patch_size": 14}  # fmt: skip
CASES = {
    "tiny": TINY["camml_7b"],
    "small": Shape(224, 16, 384, 3, "mlp2x_gelu", 32, 384, SMOLLM2, DINOV2_SMALL),
    "7b": SHAPES["camml_7b"],
}


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing: the middle one, the least and the greatest."""

    middle: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """The spread of some values."""
        return cls(statistics.median(values), min(values), max(values))

    def __format__(self, spec: str) -> str:
        return f"{self.middle:{spec}} ({self.least:{spec}}–{self.greatest:{spec}})"


@dataclass(frozen=True)
class Decoded:
    """One line of the table; times are seconds of one decoding step of the whole batch."""

    cache: str
    batch: int
    ours: Spread
    bare: Spread
    ratio: Spread
    cpu_ratio: Spread
    tokens_per_second: float
    of_floor: float
    first_call_seconds: float
    recompiled: int


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CASES, help="default: 7b on a GPU, small on a CPU")
    parser.add_argument("--batch", type=int, action="append", help="rows, repeatable (default: 1, 8, 32; on a CPU 1)")
    parser.add_argument("--new-tokens", type=int, default=64, help="tokens of an answer (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of every measurement (%(default)s)")
    parser.add_argument("--compile", action="store_true", help="the static cache and a compiled step on a CPU too")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/decode.json"))
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = args.size or ("7b" if device.type == "cuda" else "small")
    model = build(CASES[size], device)
    batches = args.batch or ([1, 8, 32] if device.type == "cuda" else [1])
    ways = ["dynamic", "static"] if args.compile or device.type == "cuda" else ["dynamic"]
    bandwidth = copy_speed(device)
    with torch.inference_mode():
        decoded = [
            decode(model, CASES[size], way, rows, args.new_tokens, args.repeats, bandwidth)
            for way in ways
            for rows in batches
        ]
    print(f"weights are read at {bandwidth / 1e9:.1f} GB/s at best\n\n{table(decoded)}")
    document = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "cpu",
        "torch": torch.__version__, "transformers": transformers.__version__, "threads": torch.get_num_threads(),
        "size": size, "new_tokens": args.new_tokens, "copy_bytes_per_second": bandwidth,
        "lines": [asdict(line) for line in decoded],
    }  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, indent=1))


def build(shape: Shape, device: torch.device) -> CamMLForConditionalGeneration:
    """The model with random weights: bfloat16 on a GPU, float32 on a CPU."""
    config = CamMLConfig(
        vision_config=CLIPVisionConfig(**shape.vision, image_size=shape.image),
        text_config=LlamaConfig(**{"max_position_embeddings": 4096, **shape.text}),
        projector_type=shape.projector,
        perceiver_hidden_size=shape.width,
        perceiver_queries=shape.queries,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if device.type == "cuda" else torch.float32)
    try:
        torch.manual_seed(0)
        with device:
            return CamMLForConditionalGeneration(config).eval()
    finally:
        torch.set_default_dtype(before)


def inputs(model: CamMLForConditionalGeneration, shape: Shape, rows: int, tokens: int) -> dict[str, Tensor]:
    """Prompts of `tokens` tokens, each with a picture and `shots` samples with pictures."""
    config, generator = model.config, torch.Generator().manual_seed(rows)
    slots = [config.context_token_id] * config.context_tokens + [config.image_token_id] * config.patch_tokens
    words = torch.randint(10, config.text_config.vocab_size, (rows, tokens - len(slots)), generator=generator)
    ids = torch.cat([torch.tensor(slots).expand(rows, -1), words], dim=1)
    samples = torch.randint(10, config.text_config.vocab_size, (rows, shape.shots, shape.words), generator=generator)
    found = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.randn(rows, 3, shape.image, shape.image, generator=generator),
        "sample_input_ids": samples,
        "sample_attention_mask": torch.ones_like(samples),
        "sample_pixel_values": torch.randn(rows, shape.shots, 3, shape.image, shape.image, generator=generator),
        "sample_image_mask": torch.ones(rows, shape.shots, dtype=torch.bool),
    }
    return {name: tensor.to(model.device) for name, tensor in found.items()}


def decode(model: Any, shape: Shape, cache: str, rows: int, new_tokens: int, repeats: int, bandwidth: float) -> Decoded:
    """Decoding with CaMML and with its bare language model, in turns.

    A step is the difference between answers of `new_tokens` + 1 tokens and of one token, so that the prompt is not in
    it. The first call warms up on the longest prompt; after it others are used, to see whether anything recompiles.
    """
    options = generation(cache, model.device)
    started = clock(model.device)
    answer(model, inputs(model, shape, rows, shape.row), new_tokens + 1, options)
    first = clock(model.device) - started
    lengths = [shape.row - (7 * number) % 32 for number in range(repeats)]
    answer(model.language_model, bare(model, inputs(model, shape, rows, shape.row)), new_tokens + 1, options)
    compiled = graphs()
    ours, plain, cpu = [], [], []
    for length in lengths:
        prompt = inputs(model, shape, rows, length)
        mine, mine_cpu = step_seconds(model, prompt, new_tokens, options)
        theirs, their_cpu = step_seconds(model.language_model, bare(model, prompt), new_tokens, options)
        ours.append(mine)
        plain.append(theirs)
        cpu.append(mine_cpu / their_cpu)
    ratios = [mine / theirs for mine, theirs in zip(ours, plain, strict=True)]
    weights = sum(p.numel() * p.element_size() for p in read_every_step(model.language_model))
    return Decoded(
        cache, rows, Spread.of(ours), Spread.of(plain), Spread.of(ratios), Spread.of(cpu), rows / min(ours),
        weights / bandwidth / statistics.median(ours), first, graphs() - compiled,
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
    """The prompt of the language model alone: words in the places of context and pictures."""
    ids = prompt["input_ids"]
    return {
        "input_ids": ids.masked_fill(ids >= model.config.context_token_id, 5),
        "attention_mask": prompt["attention_mask"],
    }


def answer(model: Any, prompt: dict[str, Tensor], tokens: int, options: dict[str, Any]) -> None:
    """Generate exactly `tokens` tokens."""
    found = model.generate(**prompt, max_new_tokens=tokens, **options)
    assert found.shape[1] == prompt["input_ids"].shape[1] + tokens


def step_seconds(
    model: Any, prompt: dict[str, Tensor], new_tokens: int, options: dict[str, Any]
) -> tuple[float, float]:
    """Seconds, and seconds of the processor, of one decoding step."""
    seconds, processor = [], []
    for tokens in (1, new_tokens + 1):
        worked, started = time.process_time(), clock(model.device)
        answer(model, prompt, tokens, options)
        seconds.append(clock(model.device) - started)
        processor.append(time.process_time() - worked)
    return (seconds[1] - seconds[0]) / new_tokens, (processor[1] - processor[0]) / new_tokens


def read_every_step(language_model: Any) -> list[Tensor]:
    """The weights that one token needs: all but a table of words that is not the head too."""
    words, head = language_model.get_input_embeddings().weight, language_model.get_output_embeddings().weight
    return [p for p in language_model.parameters() if p is not words or p is head]


def copy_speed(device: torch.device) -> float:
    """Bytes a second, read and written, of a large copy; the best of ten."""
    size = 2**31 if device.type == "cuda" else 2**28
    source, target = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        started = clock(device)
        target.copy_(source)
        best = min(best, clock(device) - started)
    return 2 * size / best


def graphs() -> int:
    """How many graphs torch has compiled so far."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def table(lines: list[Decoded]) -> str:
    """The results as Markdown."""
    head = "| cache | batch | ours, ms/step | bare, ms/step | ours / bare | processor | tokens/s | floor / ours "
    rows = [f"{head}| first call, s | recompiled |", "|---" * 10 + "|"]
    for one in lines:
        ms = [Spread(*(1000 * value for value in vars(part).values())) for part in (one.ours, one.bare)]
        rows.append(
            f"| {one.cache} | {one.batch} | {ms[0]:.1f} | {ms[1]:.1f} | {one.ratio:.3f} | {one.cpu_ratio:.3f} "
            f"| {one.tokens_per_second:.1f} | {one.of_floor:.0%} | {one.first_call_seconds:.1f} | {one.recompiled} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
