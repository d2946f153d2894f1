"""The tiny model and processor of each family do what the large ones do."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from tests import families

TEXT_INPUTS = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "labels"}
TILED = {
    "llava_next", "llava_onevision", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "idefics3", "internvl",
    "mistral3", "aya_vision", "glm4v",
}  # fmt: skip

built = cache(families.build)


def picture(seed: int, width: int = 28, height: int = 28) -> Image.Image:
    """Return a picture of noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def prompt(processor: Any, text: str = "what is it", pictures: int = 1) -> str:
    """Return a question about pictures, ready for the answer."""
    messages = [families.message(text, pictures)]
    return str(processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))


def inputs(processor: Any, texts: list[str], pictures: list[list[Image.Image]]) -> dict[str, torch.Tensor]:
    """Return the inputs of the model for a batch, without the labels that some processors add."""
    batch = processor(text=texts, images=pictures, padding=True, return_tensors="pt")
    return {name: value for name, value in batch.items() if name != "labels"}


@torch.no_grad()
def logits(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits of the token that comes next, float[B, V]."""
    return model(**batch).logits[:, -1]


@torch.no_grad()
def features(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the vectors of all pictures of a batch, float[N, D]."""
    encode = getattr(model, "get_image_features", None) or model.model.get_image_features
    parts = encode(**{name: value for name, value in batch.items() if name not in TEXT_INPUTS}).pooler_output
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])


def places(model: Any, batch: dict[str, torch.Tensor]) -> int:
    """Return how many tokens of a batch stand for pictures."""
    config = model.config
    token = config.image_token_id if hasattr(config, "image_token_id") else config.image_token_index
    return int((batch["input_ids"] == token).sum())


@pytest.mark.parametrize("name", families.FAMILIES)
class TestEveryFamily:
    def test_sees_the_picture_and_reads_the_text(self, name: str) -> None:
        model, processor = built(name)
        results = [
            logits(model, inputs(processor, [prompt(processor, text)], [[picture(seed)]]))
            for seed, text in [(0, "what is it"), (1, "what is it"), (0, "which is it")]
        ]
        assert (results[0] - results[1]).abs().max() > 0.1, "another picture"
        assert (results[0] - results[2]).abs().max() > 0.1, "another text"
        assert results[0].std() < 5, "no token drowns the others"

    def test_rows_of_a_batch_get_what_they_get_alone(self, name: str) -> None:
        model, processor = built(name)
        texts = [prompt(processor), prompt(processor, "and which colour is the picture")]
        pictures = [[picture(0, 28, 56)], [picture(1)]]
        batch = inputs(processor, texts, pictures)
        alone = [inputs(processor, [text], [row]) for text, row in zip(texts, pictures, strict=True)]
        longest = max(row["input_ids"].shape[1] for row in alone)
        assert batch["input_ids"].shape == (2, longest)
        assert bool(batch["attention_mask"][:, -1].all()), "padding is on the left"
        torch.testing.assert_close(
            logits(model, batch), torch.cat([logits(model, row) for row in alone]), atol=1e-4, rtol=1e-4
        )

    @pytest.mark.long
    def test_writes_as_many_tokens_as_asked(self, name: str) -> None:
        model, processor = built(name)
        texts = [prompt(processor), prompt(processor, "and which colour is the picture")]
        batch = inputs(processor, texts, [[picture(0, 28, 56)], [picture(1)]])
        written = model.generate(**batch, max_new_tokens=4, min_new_tokens=4, do_sample=False)
        assert written.shape == (2, batch["input_ids"].shape[1] + 4)
        scores = logits(model, batch)
        scores[:, model.generation_config.eos_token_id] = -torch.inf
        assert torch.equal(written[:, batch["input_ids"].shape[1]], scores.argmax(-1))

    @pytest.mark.parametrize("sizes", [[(28, 28)], [(56, 28)], [(28, 60)], [(84, 28), (28, 28)]])
    def test_has_a_token_for_every_vector_of_a_picture(self, name: str, sizes: list[tuple[int, int]]) -> None:
        model, processor = built(name)
        pictures = [picture(seed, *size) for seed, size in enumerate(sizes)]
        batch = inputs(processor, [prompt(processor, pictures=len(sizes))], [pictures])
        vectors = features(model, batch)
        assert vectors.shape == (places(model, batch), model.config.get_text_config().hidden_size)

    def test_pictures_of_other_shapes_fill_other_numbers_of_tokens(self, name: str) -> None:
        model, processor = built(name)
        counts = {
            places(model, inputs(processor, [prompt(processor)], [[picture(0, *size)]]))
            for size in [(28, 28), (56, 28)]
        }
        assert len(counts) == (2 if name in TILED else 1)

    def test_is_read_back_from_a_folder(self, name: str, tmp_path: Path) -> None:
        families.save(name, tmp_path / "model")
        model = AutoModelForImageTextToText.from_pretrained(tmp_path / "model").eval()
        processor = AutoProcessor.from_pretrained(tmp_path / "model")
        same, writer = built(name)
        assert type(processor) is type(writer)
        assert model.dtype == torch.float32
        expected = inputs(writer, [prompt(writer)], [[picture(0, 56, 28)]])
        read = inputs(processor, [prompt(processor)], [[picture(0, 56, 28)]])
        assert list(read) == list(expected)
        for key, value in expected.items():
            torch.testing.assert_close(read[key], value, rtol=0, atol=0)
        torch.testing.assert_close(logits(model, read), logits(same, expected), rtol=0, atol=0)

    def test_comes_out_the_same_for_the_same_seed_only(self, name: str) -> None:
        def weights(seed: int) -> torch.Tensor:
            return torch.cat([parameter.flatten() for parameter in families.build(name, seed=seed)[0].parameters()])

        assert torch.equal(weights(0), weights(0))
        assert not torch.equal(weights(0), weights(1))

    def test_knows_turns_of_both_kinds(self, name: str) -> None:
        _, processor = built(name)
        messages = [
            {"role": "system", "content": "be brief"},
            families.message("first", 2),
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": "second"},
        ]
        text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        assert text.count(processor.image_token) == 2
        order = [text.index(word) for word in ["be brief", processor.image_token, "first", "yes", "second"]]
        assert order == sorted(order)
        start = processor.apply_chat_template(messages[:1], tokenize=False)
        assert text.startswith(start)
        decoded = processor.decode(processor.tokenizer(text, add_special_tokens=False)["input_ids"])
        assert decoded == text, "no character is lost"

    def test_has_a_row_for_every_token(self, name: str) -> None:
        model, processor = built(name)
        spare = model.get_input_embeddings().num_embeddings - len(processor.tokenizer)
        assert spare in (0, families.SPARE_ROWS)


def test_both_kinds_of_embeddings_are_there() -> None:
    spare = [
        model.get_input_embeddings().num_embeddings > len(processor.tokenizer)
        for model, processor in map(built, families.FAMILIES)
    ]
    assert 5 <= sum(spare) <= len(spare) - 5
