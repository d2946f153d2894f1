"""Packed models and LoRA runs, spread over devices or quantised as they are loaded."""

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BitsAndBytesConfig

from camml import load_model
from camml.errors import CaMMLError
from camml.model import CamMLProcessor
from tests import loading_memory, tiny

SUMS = {"packed": "packed/packed", "lora": "lora"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each kind of model."""
    place = tmp_path_factory.mktemp("folders")
    loading_memory.write(place, 1)
    return place


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


@torch.no_grad()
def logits(model: Any, processor: CamMLProcessor, folder: Path) -> torch.Tensor:
    inputs = processor.prepare(["a"], [tiny.image(folder, "query", (200, 180, 0))], [tiny.samples(folder)])
    scores: torch.Tensor = model(**inputs).logits.float()
    return scores


@pytest.mark.long
@pytest.mark.parametrize("kind", [*SUMS, "official"])
@pytest.mark.parametrize(
    ("places", "dtype"), [("cpu", None), ({"vlm": "disk", "context_perceiver": "cpu"}, "bfloat16")], ids=str
)
def test_a_sum_may_be_spread(
    folders: Path, tmp_path: Path, temporary: Path, kind: str, places: Any, dtype: str | None
) -> None:
    whole, processor = load_model(folders / SUMS.get(kind, kind), dtype=dtype)
    folder = folders / SUMS.get(kind, kind)
    spread, reader = load_model(folder, dtype=dtype, device_map=places, prompt_style="bare")
    assert (reader.prompt_style, spread.dtype) == ("bare", whole.dtype)
    assert torch.equal(logits(spread, processor, tmp_path), logits(whole, processor, tmp_path))
    assert bool(list(temporary.iterdir())) == (places != "cpu")  # weights on disk are read from there
    del spread
    gc.collect()
    assert not list(temporary.iterdir())


@pytest.mark.long
@pytest.mark.parametrize(("kind", "bits"), [("packed", 4), ("lora", 8), ("official", 4)])
def test_a_sum_may_be_quantised(folders: Path, tmp_path: Path, temporary: Path, kind: str, bits: int) -> None:
    pytest.importorskip("bitsandbytes")
    folder = folders / SUMS.get(kind, kind)
    whole, processor = load_model(folder)
    narrow = ["vlm.vision_tower", "vlm.projector", "context_perceiver"]  # too narrow here to be packed in blocks
    settings = BitsAndBytesConfig(**{f"load_in_{bits}bit": True}, llm_int8_skip_modules=narrow)
    small, _ = load_model(folder, quantization_config=settings)
    assert {type(module).__name__ for module in small.modules()} & {"Linear4bit", "Linear8bitLt"}
    scores, exact = (logits(model, processor, tmp_path).flatten() for model in (small, whole))
    assert torch.cosine_similarity(scores, exact, dim=0) > 0.5
    assert not list(temporary.iterdir())


def test_an_option_that_cannot_be_leaves_nothing_behind(folders: Path, temporary: Path) -> None:
    with pytest.raises(CaMMLError, match="nowhere"):
        load_model(folders / "lora", device_map="nowhere")
    assert not list(temporary.iterdir())
