"""Perceivers added to every family of vision-language models, on tiny models with random weights in float32.

They show that inputs arrive where they belong, and nothing about the quality of answers.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from camml.errors import InputError
from camml.model import CamMLForConditionalGeneration, CamMLProcessor
from camml.prompts import Turn
from camml.types import Sample
from tests import families, tiny

added = cache(tiny.added)
STEPS = {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False, "use_cache": True,
         "output_logits": True, "return_dict_in_generate": True}  # fmt: skip
NEEDS_A_PICTURE = {"paligemma"}
"""Families whose own processors take no prompt without one."""


def noise(seed: int, width: int = 28, height: int = 28) -> Image.Image:
    """A picture of noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def samples() -> list[Sample]:
    """Two samples with pictures of different shape, and one without."""
    return [
        Sample("a", "a red square on a white field", noise(1, 56, 28)),
        Sample("b", "the capital of France is Paris"),
        Sample("c", "blue", noise(2)),
    ]


def steps(model: Any, inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens and logits [B, 12, ...] of twelve greedy steps with the cache on."""
    told = model.generate(**inputs, **STEPS)
    return told.sequences[:, -12:], torch.stack(told.logits, dim=1)


@pytest.mark.parametrize("family", families.FAMILIES)
class TestEveryFamily:
    @pytest.mark.column("a")
    @pytest.mark.parametrize("pictures", [0, 1, 2])
    def test_without_samples_it_is_the_model_it_was(self, family: str, pictures: int) -> None:
        model, processor = added(family)
        if not pictures and family in NEEDS_A_PICTURE:
            with pytest.raises(InputError, match="does not take a prompt with 0 images"):
                processor.prepare(["what is it"])
            return
        stock, reader = families.build(family)
        images = [noise(seed, 28 * (1 + seed), 28) for seed in range(pictures)]
        inputs = processor.prepare(["what is it"], [images])
        chat = [families.message("what is it", pictures)]
        prompt = reader.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        own = reader(text=[prompt], images=[images] if images else None, return_tensors="pt")
        whole = processor(text=[prompt], images=[images] if images else None, return_tensors="pt")
        assert own.keys() == whole.keys()
        assert all(torch.equal(own[name], whole[name]) for name in own)
        for given in (inputs, {name: value for name, value in own.items() if name != "labels"}):
            with torch.no_grad():
                assert torch.equal(model(**given).logits, stock(**given).logits)
            tokens, scores = steps(model, given)
            same_tokens, same_scores = steps(stock, given)
            assert torch.equal(tokens, same_tokens)
            assert torch.equal(scores, same_scores)

    @pytest.mark.long
    @pytest.mark.column("b")
    def test_every_input_makes_a_difference_at_every_step(self, family: str) -> None:
        model, processor = added(family)

        def scores(context: list[Sample], image: Image.Image) -> torch.Tensor:
            inputs = processor.prepare(["what is it"], [image], [context])
            with torch.no_grad():
                whole = model(**inputs).logits[:, -1:]
            return torch.cat([whole, steps(model, inputs)[1]], dim=1)

        usual, question = samples(), noise(9)
        before = scores(usual, question)
        assert torch.equal(before, scores(usual, question)), "nothing else does"
        changed: dict[str, torch.Tensor] = {"the question's picture": scores(usual, noise(10))}
        for number, sample in enumerate(usual):
            others = list(usual)
            others[number] = Sample("x", sample.text + " colour", sample.image)
            changed[f"text {number}"] = scores(others, question)
            if sample.image is not None:
                others[number] = Sample("x", sample.text, noise(20 + number, *sample.image.size))
                changed[f"picture {number}"] = scores(others, question)
        changed["a sample more"] = scores([*usual, usual[0]], question)
        for name, after in changed.items():
            assert ((after - before).abs().amax(dim=2) > 1e-6).all(), name
            assert (after - before).abs().max() > 1e-4, name

    @pytest.mark.column("c")
    def test_a_row_alone_is_the_row_in_a_batch(self, family: str) -> None:
        model, processor = added(family)
        usual = samples()
        rows = [
            ("what is it", [noise(9, 28, 56)], usual),
            ("which colour is the picture, and is it red", [], usual[1:]),
            ("is it red", [noise(8)], []),
            ("hello", [], []),
            ("what are these", [noise(7, 56, 28), noise(6)], usual[:1]),
        ]
        if family in NEEDS_A_PICTURE:
            rows = [(question, own or [noise(5)], context) for question, own, context in rows]
        questions, pictures, contexts = (list(column) for column in zip(*rows, strict=True))
        tokens, batch = steps(model, processor.prepare(questions, pictures, contexts))
        for number, (question, own, context) in enumerate(rows):
            words, alone = steps(model, processor.prepare([question], [own], [context]))
            assert torch.equal(tokens[number], words[0]), number
            torch.testing.assert_close(
                batch[number, 0], alone[0, 0], atol=1e-4, rtol=1e-4, msg=lambda m, n=number: f"{n}: {m}"
            )

    @pytest.mark.column("d")
    def test_save_and_load_through_the_auto_classes(self, family: str, tmp_path: Path) -> None:
        model, processor = added(family)
        model.save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
        again = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
        reader = AutoProcessor.from_pretrained(tmp_path)
        assert (type(again), type(reader)) == (CamMLForConditionalGeneration, CamMLProcessor)
        rows = ["what is it"], [noise(9, 56, 28)], [samples()]
        inputs, reread = processor.prepare(*rows), reader.prepare(*rows)
        assert inputs.keys() == reread.keys()
        assert all(torch.equal(inputs[name], reread[name]) for name in inputs)
        with torch.no_grad():
            assert torch.equal(again(**reread).logits, model(**inputs).logits)

    def test_gradients_reach_the_perceivers_and_a_step_lowers_the_loss(self, family: str) -> None:
        model, processor = tiny.added(family)
        inputs = processor.prepare([[Turn("what is it")]], [noise(9)], [samples()])
        labels = torch.full_like(inputs["input_ids"], -100)
        labels[0, -4:] = inputs["input_ids"][0, -4:]
        for module in model.modules():  # dropout of perceivers, so that two losses can be compared
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            elif hasattr(module, "dropout") and isinstance(module.dropout, float):
                module.dropout = 0.0
        model.requires_grad_(False).train()
        parts = dict(model.context_perceiver.requires_grad_(True).named_parameters())
        before = model(**inputs, labels=labels).loss
        before.backward()
        assert not [name for name, part in parts.items() if part.grad is None]
        silent = [name for name, part in parts.items() if not part.grad.any()]
        assert not [name for name in silent if not name.endswith("key.bias")], "softmax does not see a key's bias"
        with torch.no_grad():
            length = torch.stack([part.grad.norm() for part in parts.values()]).norm()
            for part in parts.values():
                part -= 1e-3 * part.grad / length
            assert model(**inputs, labels=labels).loss < before
