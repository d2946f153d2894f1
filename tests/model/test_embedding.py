"""Inputs to embeddings: what is kept of the tower stands for the images it was computed from."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from camml.data.collate import Collator
from camml.data.examples import Example, build
from camml.data.llava_json import Conversation
from camml.model import CamMLForConditionalGeneration, CamMLProcessor
from camml.prompts import Turn
from tests import tiny

KINDS = ("clip", "siglip", "dinov2")


def features_of(model: CamMLForConditionalGeneration, processor: CamMLProcessor, dtype: torch.dtype = torch.float32):
    """What a cache of the features does, without one."""

    def find(images: list[Path | None]) -> Tensor:
        sizes = model.config.vlm_config.patch_tokens, model.config.vlm_config.vision_config.hidden_size
        result = torch.zeros(len(images), *sizes, dtype=dtype)
        for row, image in enumerate(images):
            if image is not None:
                with torch.no_grad():
                    result[row] = model.vlm.tower_features(processor.pixels([image]))[0].to(dtype)
        return result

    return find


def rows(folder: Path) -> dict:
    """Questions with and without image and samples, and a sample without image."""
    samples = tiny.samples(folder)
    picture = tiny.image(folder, "query", (200, 180, 0))
    return {
        "text": ["what is it", "the capital of France", "hello", "which colour"],
        "images": [picture, None, None, picture],
        "samples": [samples[:3], samples[2:], [], []],
    }


class TestFeaturesInsteadOfPixels:
    @pytest.mark.parametrize("kind", KINDS)
    def test_give_the_same_logits(self, kind: str, tmp_path: Path) -> None:
        model = tiny.model(tiny.config(kind))
        processor, asked = tiny.processor(model.config), rows(tmp_path)
        pixels = processor.prepare(**asked)
        kept = processor.prepare(**asked, features_of=features_of(model, processor))
        assert {"image_features", "sample_image_features"} <= set(kept)
        assert "pixel_values" not in kept
        with torch.no_grad():
            torch.testing.assert_close(model(**kept).logits, model(**pixels).logits, atol=2e-5, rtol=1e-4)

    def test_in_16_bits_too_within_the_rounding_of_16_bits(self, tmp_path: Path) -> None:
        model = tiny.model()
        processor, asked = tiny.processor(model.config), rows(tmp_path)
        kept = processor.prepare(**asked, features_of=features_of(model, processor, torch.float16))
        with torch.no_grad():
            whole, rounded = model(**processor.prepare(**asked)).logits, model(**kept).logits
        assert not torch.equal(whole, rounded)
        torch.testing.assert_close(rounded, whole, atol=float(whole.abs().max()) * 2e-3, rtol=0)

    def test_are_used_in_generation(self, tmp_path: Path) -> None:
        model = tiny.model()
        processor, asked = tiny.processor(model.config), rows(tmp_path)
        options = {"max_new_tokens": 4, "do_sample": False}
        first = model.generate(**processor.prepare(**asked), **options)
        find = features_of(model, processor)
        assert torch.equal(first, model.generate(**processor.prepare(**asked, features_of=find), **options))

        def other(images: list[Path | None]) -> Tensor:
            return find(images).roll(1, dims=2) * 2

        changed = model.generate(**processor.prepare(**asked, features_of=other), **options, output_logits=True,
                                 return_dict_in_generate=True).logits  # fmt: skip
        same = model.generate(
            **processor.prepare(**asked), **options, output_logits=True, return_dict_in_generate=True
        ).logits
        assert ((changed[1] - same[1]).abs().amax(dim=1)[[0, 3]] > 1e-3).all()


class TestInTraining:
    """No process may wait for another one in a module that the other does not use."""

    def examples(self, folder: Path) -> tuple[list[Example], CamMLForConditionalGeneration, Collator]:
        model = tiny.model(tiny.config(perceiver_dropout=0.0)).train()
        model.vlm.vision_tower.requires_grad_(False)
        processor, samples = tiny.processor(model.config), tiny.samples(folder)
        talks = [
            (Conversation("a", (Turn("what", "red"),), samples[0].image), samples[:2]),
            (Conversation("b", (Turn("q of France", "Paris"),)), []),
            (Conversation("c", (Turn("say", "so"),)), samples[2:3]),
        ]
        results = [build(talk, context, processor, 99) for talk, context in talks]
        return results, model, Collator(processor, features_of(model, processor))

    def test_the_tower_never_runs_and_every_row_uses_the_same_modules(self, tmp_path: Path) -> None:
        examples, model, collate = self.examples(tmp_path)
        batches = [collate([example]) for example in examples] + [collate(examples)]
        used: set[str] = set()
        for name, module in model.named_modules():
            module.register_forward_hook(lambda *_, name=name: used.add(name))
        seen = []
        for batch in batches:
            used.clear()
            model(**batch).loss.backward()
            seen.append(set(used))
            assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
        assert not any(name.startswith("vlm.vision_tower") for name in seen[0])
        assert {"vlm.projector", "context_perceiver.vision_perceiver"} <= seen[0]
        assert all(names == seen[0] for names in seen)

    def test_gradients_are_those_of_pixels(self, tmp_path: Path) -> None:
        examples, model, collate = self.examples(tmp_path)

        def gradients(collator: Collator) -> dict[str, Tensor]:
            model.zero_grad()
            model(**collator(examples)).loss.backward()
            return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

        kept, pixels = gradients(collate), gradients(Collator(collate.processor))
        assert kept.keys() == pixels.keys()
        for name, gradient in kept.items():
            torch.testing.assert_close(gradient, pixels[name], rtol=1e-3, atol=1e-5)
