"""The weights in `models/`: small, whole, and nothing but what was trained."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from camml.model.folder import PACKED, is_packed
from camml.model.loading import load_model
from camml.types import Sample
from tests import tiny

MINI = Path(__file__).parents[2] / "models" / "camml-mini"
MOST = 60_000_000


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return {name: tensor for file in MINI.glob("*.safetensors") for name, tensor in load_file(file).items()}


def test_they_are_small() -> None:
    assert sum(file.stat().st_size for file in MINI.rglob("*") if file.is_file()) <= MOST


def test_they_are_numbers(tensors: dict[str, torch.Tensor]) -> None:
    assert len(tensors) > 400
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def test_they_are_of_projector_perceivers_and_adapters_alone(tensors: dict[str, torch.Tensor]) -> None:
    parts = {"projector", "context_perceiver", "language_model", "image", "text"}
    assert {name.partition(".")[0] for name in tensors} == parts
    assert all(".lora_" in name for name in tensors if name.startswith("language_model."))


def test_their_card_says_what_they_are() -> None:
    assert is_packed(MINI)
    about, card = json.loads((MINI / PACKED).read_text()), (MINI / "README.md").read_text()
    assert {about["language_model"], about["vision_tower"]} == {"smollm2-135m-instruct", "dinov2-small"}
    for heading in ("## Training", "## Scores", "## Limits", "## Data and licences"):
        assert heading in card
    assert "@@" not in card


@pytest.mark.long
@pytest.mark.parametrize("pictured", ["", "first", "second", "both"])
def test_their_context_tokens_are_the_words_of_the_samples(pictured: str, tmp_path: Path) -> None:
    model, processor = load_model(MINI)
    picture = tiny.image(tmp_path, "pump", (200, 30, 30))
    texts = [
        "The pump Alma was bought in 1987. It weighs 412 kg.",
        "Its keeper is Mirond Japqua, its price 8,120 crowns.",
    ]
    images = [picture if pictured in (name, "both") else None for name in ("first", "second")]
    samples = [Sample(str(n), *given) for n, given in enumerate(zip(texts, images, strict=True))]
    inputs = processor.prepare(["What?"], samples=[samples])
    given = {name.removeprefix("sample_"): value for name, value in inputs.items() if name.startswith("sample_")}
    with torch.no_grad():
        [tokens] = model.embed_context(**given)
    words = model.get_input_embeddings().weight
    read = torch.nn.functional.normalize(tokens, dim=1) @ torch.nn.functional.normalize(words, dim=1).T
    wanted = [token for text in texts for token in processor.sample_ids(text)]
    assert (inputs["input_ids"] == processor.context_token_id).sum() == len(wanted)
    assert read.argmax(dim=1)[: len(wanted)].tolist() == wanted
