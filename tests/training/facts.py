"""Random facts that stand nowhere but in the sample retrieved for the question."""

import json
import random
from pathlib import Path
from string import ascii_lowercase

import torch
from transformers import LlamaConfig

from camml import neighbors
from camml.data import origins
from camml.model import CamMLForConditionalGeneration
from camml.model.parts import config_of_parts
from camml.types import Neighbor, Query, Sample
from tests import tiny


def facts(count: int, seed: int) -> list[tuple[str, str, Sample]]:
    """Questions with their answers, one of 26 letters, and the sample that says so."""
    chance = random.Random(seed)
    results = []
    for number in range(count):
        name, letter = f"{chance.randrange(10**4):04}", chance.choice(ascii_lowercase)
        results.append((f"which is {name}", letter, Sample(f"fact-{seed}-{number}", f"{name} is {letter}")))
    return results


def write(folder: Path, known: list[tuple[str, str, Sample]]) -> tuple[Path, Path]:
    """A training set of these facts, and its neighbors: for each question the sample with its answer."""
    entries = [
        {"id": sample.id, "conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]}
        for q, a, sample in known
    ]
    data = folder / "facts.json"
    data.write_text(json.dumps(entries))
    sample_of = {sample.id: sample for _, _, sample in known}
    origin = neighbors.Origin(str(data), origins.file_hash(data), "facts", "-", 0, "given", "given", 1)
    queries = [Query(q, None, sample.id) for q, _, sample in known]
    neighbors.compute(
        queries, lambda asked, _: [(Neighbor(sample_of[q.id or ""], 1.0),) for q in asked], folder / "found", origin
    )
    return data, folder / "found"


def model(folder: Path, seed: int = 0) -> Path:
    """The folder of a CaMML model with random weights that is small but can learn to copy."""
    text = LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        vocab_size=320, max_position_embeddings=512, eos_token_id=5, bos_token_id=1, pad_token_id=0,
        initializer_range=0.1,
    )  # fmt: skip
    config = config_of_parts(
        tiny.vision_config(), text, perceiver_hidden_size=64, perceiver_queries=2,
        perceiver_heads=4, perceiver_intermediate_size=128, perceiver_dropout=0.0, initializer_range=0.1,
    )  # fmt: skip
    torch.manual_seed(seed)
    CamMLForConditionalGeneration(config).save_pretrained(folder / "start")
    tiny.processor(config).save_pretrained(folder / "start")
    return folder / "start"
