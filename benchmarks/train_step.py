"""What one training step costs: memory, tokens a second, and the part of the device's speed that is put to use.

    python benchmarks/train_step.py                                  # every 7B case, on a GPU
    python benchmarks/train_step.py --size tiny                      # all of it in a minute on a CPU
    python benchmarks/train_step.py --case camml_7b:lora --rows 4

Weights are random, so that nothing has to be downloaded; shapes are those of the recipes. The ceiling is a matrix
product measured on the same device. Prints a table and writes JSON.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPVisionConfig, LlamaConfig

from camml.model import CamMLConfig, CamMLForConditionalGeneration
from camml.training import building
from camml.training.arguments import ModelArguments

TUNES = ("full", "perceiver", "lora", "qlora")


@dataclass(frozen=True)
class Shape:
    """A recipe's model and rows: image side, queries M, width P, samples of a row, tokens of a sample and of a row."""

    image: int
    queries: int
    width: int
    shots: int
    projector: str
    words: int = 256
    row: int = 1024
    text: dict[str, int] = field(default_factory=dict)
    vision: dict[str, int] = field(default_factory=dict)


VICUNA_7B = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
             "vocab_size": 32000, "max_position_embeddings": 4096}  # fmt: skip
CLIP_L = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}
SHAPES = {
    "camml_7b_sqa": Shape(224, 64, 768, 1, "linear", text=VICUNA_7B, vision=CLIP_L),
    "camml_7b": Shape(336, 128, 768, 3, "mlp2x_gelu", row=1536, text=VICUNA_7B, vision=CLIP_L),
}
TINY_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 512,
}
TINY_VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "patch_size": 14,
}
TINY = {
    name: Shape(56, 4, 48, shape.shots, shape.projector, 16, 96, TINY_TEXT, TINY_VISION)
    for name, shape in SHAPES.items()
}


@dataclass
class Result:
    """One line of the table; `mfu` is the part of the ceiling that `operations` make up."""

    case: str
    tune: str
    rows: int
    tokens: int
    seconds: float
    tokens_per_second: float
    peak_gb: float
    ceiling_tflops: float
    mfu: float
    error: str = ""


def main() -> None:
    """Measure the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--case", action="append", help="RECIPE:TUNE, repeatable (default: all)")
    parser.add_argument("--rows", type=int, default=1, help="rows of a step (%(default)s)")
    parser.add_argument("--steps", type=int, default=5, help="steps measured, after two to warm up (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/train_step.json"))
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shapes = SHAPES if args.size == "full" else TINY
    ceiling = matmul_ceiling(device)
    results = []
    for case in args.case or [f"{name}:{tune}" for name in shapes for tune in TUNES]:
        name, _, tune = case.partition(":")
        results.append(measure(name, tune, shapes[name], args.rows, args.steps, device, ceiling))
        if device.type == "cuda":
            torch.cuda.empty_cache()
    print(table(results))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    document = {"device": where, "torch": torch.__version__, "size": args.size, "results": [asdict(r) for r in results]}
    args.out.write_text(json.dumps(document, indent=1))


def measure(name: str, tune: str, shape: Shape, rows: int, steps: int, device: torch.device, ceiling: float) -> Result:
    """The cost of a step; a case that does not fit the memory is a line that says so."""
    result = Result(name, tune, rows, rows * shape.row, 0.0, 0.0, 0.0, ceiling / 1e12, 0.0)
    try:
        model = build(tune, shape, device)
        inputs = batch(model, shape, rows, device)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=device.type == "cuda")
        for number in range(steps + 2):
            if number == 2:
                started = clock(device)
            step(model, optimizer, inputs, device)
        result.seconds = (clock(device) - started) / steps
    except torch.OutOfMemoryError:
        result.error = "out of memory"
        return result
    result.tokens_per_second = result.tokens / result.seconds
    result.mfu = operations(model, result.tokens) / result.seconds / ceiling
    if device.type == "cuda":
        result.peak_gb = torch.cuda.max_memory_allocated() / 2**30
    return result


def build(tune: str, shape: Shape, device: torch.device) -> Any:
    """The model with random weights on the device: bfloat16 where frozen; float32 where trained."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    config = CamMLConfig(
        vision_config=CLIPVisionConfig(**shape.vision, image_size=shape.image),
        text_config=LlamaConfig(**shape.text),
        projector_type=shape.projector,
        perceiver_hidden_size=shape.width,
        perceiver_queries=shape.queries,
        perceiver_positions=False,
    )
    before = torch.get_default_dtype()
    # trained in bfloat16 when everything is: float32 with its moments would be 16 bytes a parameter
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            model = CamMLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    if tune == "qlora":
        quantise(model.language_model, device)
    wrapped = building.freeze(model, ModelArguments(model_name_or_path="-", tune=tune))
    if tune != "full":
        building.in_float32(wrapped)
    wrapped.gradient_checkpointing_enable()
    return wrapped.to(device).train()


def quantise(model: torch.nn.Module, device: torch.device) -> None:
    """Replace the linear layers of a language model by 4-bit ones, all but the head."""
    import bitsandbytes

    for name, layer in list(model.named_modules()):
        if isinstance(layer, torch.nn.Linear) and not name.endswith("lm_head"):
            packed = bitsandbytes.nn.Linear4bit(
                layer.in_features, layer.out_features, bias=layer.bias is not None,
                compute_dtype=torch.bfloat16, quant_type="nf4", compress_statistics=True,
            )  # fmt: skip
            packed.weight = bitsandbytes.nn.Params4bit(layer.weight.data.cpu(), requires_grad=False, quant_type="nf4")
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, packed.to(device))


def batch(model: Any, shape: Shape, rows: int, device: torch.device) -> dict[str, Tensor]:
    """Rows with an image, a context of `shots` samples with images, and words up to the length of a row."""
    config = model.config
    slots = [config.context_token_id] * config.context_tokens + [config.image_token_id] * config.patch_tokens
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(10, config.text_config.vocab_size, (rows, shape.row - len(slots)), generator=generator)
    ids = torch.cat([torch.tensor(slots).expand(rows, -1), words], dim=1)
    labels = ids.masked_fill(torch.arange(shape.row) < shape.row - words.shape[1] // 4, -100)
    samples = torch.randint(10, config.text_config.vocab_size, (rows, shape.shots, shape.words), generator=generator)
    found = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": labels,
        "pixel_values": torch.randn(rows, 3, shape.image, shape.image, generator=generator),
        "sample_input_ids": samples,
        "sample_attention_mask": torch.ones_like(samples),
        "sample_pixel_values": torch.randn(rows, shape.shots, 3, shape.image, shape.image, generator=generator),
        "sample_image_mask": torch.ones(rows, shape.shots, dtype=torch.bool),
    }
    return {name: tensor.to(device) for name, tensor in found.items()}


def step(model: Any, optimizer: torch.optim.Optimizer, inputs: dict[str, Tensor], device: torch.device) -> None:
    """Forward, backward, update."""
    with torch.autocast(device.type, torch.bfloat16):
        loss = model(**inputs).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def operations(model: Any, tokens: int) -> float:
    """Of a step, without attention and what checkpointing does again.

    Source: Kaplan et al. (2020), section 2.1: 2 a parameter forward, 4 backward; 2 of these where weights are frozen.
    """
    counts = building.count_parameters(model)
    every, trained = counts["language_model"]
    return tokens * (6.0 * trained + 4.0 * (every - trained))


def matmul_ceiling(device: torch.device) -> float:
    """Operations a second of a large bfloat16 (on a CPU float32) matrix product, the best of ten."""
    side, kind = (8192, torch.bfloat16) if device.type == "cuda" else (1024, torch.float32)
    one, other = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        started = clock(device)
        one @ other
        best = min(best, clock(device) - started)
    return 2 * side**3 / best


def clock(device: torch.device) -> float:
    """Seconds, when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def table(results: list[Result]) -> str:
    """The results as Markdown."""
    lines = ["| recipe | trained | rows | s/step | tokens/s | peak GB | MFU |", "|---|---|---|---|---|---|---|"]
    for r in results:
        figures = r.error or f"{r.seconds:.3f} | {r.tokens_per_second:.0f} | {r.peak_gb:.1f} | {r.mfu:.1%}"
        lines.append(f"| {r.case} | {r.tune} | {r.rows} | {figures} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
