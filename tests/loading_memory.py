"""The memory that loading and merging take beside the size of a model, each way in a process of its own (Linux).

python -m tests.loading_memory 1200
"""

import json
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, LlamaConfig

from camml.model import CamMLForConditionalGeneration, load_model, loading, lora, packed
from camml.model.folder import read_tensors
from camml.model.parts import config_of_parts
from tests import tiny
from tests.model.test_official import write_official

PERCEIVERS = {
    "perceiver_hidden_size": 24, "perceiver_queries": 3, "perceiver_heads": 12, "perceiver_intermediate_size": 3072,
    "perceiver_positions": False,
}  # fmt: skip
ADDED = re.compile("projector|context_perceiver")
WAYS = ("saved", "official", "packed", "lora", "merge packed", "merge lora")


def write(place: Path, megabytes: int) -> None:
    """Write a model of about so many megabytes in bfloat16 as a folder of each kind."""
    torch.manual_seed(0)
    width = 512 if megabytes < 500 else 1024  # so that a single matrix is little beside the whole
    layers = max(1, round(megabytes * 1e6 / (2 * width * width * 16)))
    text = LlamaConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=8, vocab_size=320,
        num_key_value_heads=8, tie_word_embeddings=False, eos_token_id=2, bos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    config = config_of_parts(tiny.vision_config(), text, **PERCEIVERS)
    with torch.device("meta"):
        model = CamMLForConditionalGeneration(config).to(torch.bfloat16)
    model = model.to_empty(device="cpu")
    for parameter in model.parameters():
        parameter.data.normal_(std=0.05)
    processor = tiny.processor(config)
    model.save_pretrained(place / "saved")
    processor.save_pretrained(place / "saved")
    write_official(place / "official", model=model)
    language, tower = place / "packed" / "language", place / "packed" / "tower"
    model.vlm.language_model.save_pretrained(language)
    AutoTokenizer.from_pretrained(place / "official", config=text).save_pretrained(language)
    model.vlm.vision_tower.save_pretrained(tower)
    processor.image_processor.save_pretrained(tower)
    name = "language_model.model.layers.0.mlp.down_proj"
    matrices = {f"{name}.lora_A": torch.ones(2, 4 * width), f"{name}.lora_B": torch.ones(width, 2)}
    packed.pack(
        place / "packed" / "packed", language_model=str(language), vision_tower=str(tower), sizes=PERCEIVERS, scale=1.0,
        added={n.removeprefix("vlm."): t for n, t in model.state_dict().items() if ADDED.search(n)},
        lora=matrices,
    )  # fmt: skip
    run = place / "lora"
    processor.save_pretrained(run)
    lora.save(run, {"language_model": str(language), "vision_tower": str(tower)}, config, model.state_dict())
    (run / lora.ADAPTER).write_text(json.dumps({"lora_alpha": 2, "r": 2}))
    save_file({f"base_model.model.vlm.{n}.weight": t for n, t in matrices.items()}, run / "adapter_model.safetensors")


def measure(place: Path, way: str) -> dict[str, float]:
    """Return the size of a model and how much this process grew at most while it was loaded, or merged, in bytes."""
    kind = way.removeprefix("merge ")
    folder, before = place / "packed" / "packed" if kind == "packed" else place / kind, resident("VmRSS")
    if kind != way:
        target = place / way
        loading.merge(folder, target, "bfloat16")
        size = sum(tensor.numel() * tensor.element_size() for _, tensor in read_tensors(target))
        return {"size": size, "grown": resident("VmHWM") - before}
    model, _ = load_model(folder, dtype="bfloat16")
    for parameter in model.parameters():
        assert parameter.dtype == torch.bfloat16
        parameter.view(torch.int16).max()  # so that all of it is there, mapped or not, without a copy
    size = sum(parameter.numel() * 2 for parameter in model.parameters())
    return {"size": size, "grown": resident("VmHWM") - before}


def resident(name: str) -> int:
    """Return a number of bytes from what Linux says of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function gives in a copy of this process."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.write(writing, json.dumps(work(*arguments)).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        given = answer.read()
    assert os.waitpid(child, 0)[1] == 0, f"{work.__name__} {arguments} failed"
    return json.loads(given)


def main() -> None:
    """Print a line of JSON."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        write(small, 1)
        for way in WAYS:  # what is imported for it is not to be counted
            measure(small, way)
        apart(write, large, int(sys.argv[1]))
        print(json.dumps({way: apart(measure, large, way) for way in WAYS}))


if __name__ == "__main__":
    main()
