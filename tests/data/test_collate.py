"""Examples to batches."""

from pathlib import Path

import pytest
import torch

from camml.data.collate import Collator
from camml.data.examples import IGNORED, Example, build
from camml.data.llava_json import Conversation
from camml.errors import ImageError, SampleError
from camml.prompts import Turn
from camml.types import Sample
from tests import tiny


def test_a_batch_is_padded_on_the_right_and_padding_is_not_learned(tmp_path: Path) -> None:
    processor = tiny.processor()
    samples = tiny.samples(tmp_path)
    rows = [
        Conversation("a", (Turn("what", "red"),), samples[0].image),
        Conversation("b", (Turn("which colour is the picture", "green it is"),)),
    ]
    batch = Collator(processor)(
        [build(rows[0], samples[:3], processor, 99), build(rows[1], samples[3:], processor, 99)]
    )
    assert batch["labels"].shape == batch["input_ids"].shape == batch["attention_mask"].shape
    assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()
    assert batch["attention_mask"][:, 0].all()
    assert batch["pixel_values"].shape == (1, 3, 28, 28)  # of the row that has a picture
    assert batch["sample_input_ids"].shape[:2] == (2, 3)
    assert batch["sample_image_counts"].tolist() == [[16, 16, 0], [16, 0, 0]]
    tiny.model().train()(**batch).loss.backward()


def test_rows_without_images_or_samples_have_no_such_tensors() -> None:
    processor = tiny.processor()
    batch = Collator(processor)([build(Conversation("b", (Turn("q", "a"),)), [], processor, 99)])
    assert set(batch) == {"input_ids", "attention_mask", "labels"}


def test_a_batch_that_trains_on_nothing_is_an_error() -> None:
    nothing = Example("void", [1, 2, 3], [IGNORED] * 3, None, ())
    only_first = Example("first", [1, 2, 3], [1, IGNORED, IGNORED], None, ())
    with pytest.raises(SampleError, match=r"trains on nothing.*'void', 'first'"):
        Collator(tiny.processor())([nothing, only_first])


def test_a_vanished_image_is_named(tmp_path: Path) -> None:
    gone = Example("gone", [1, 2], [IGNORED, 2], tmp_path / "gone.png", ())
    with pytest.raises(ImageError, match=r"gone\.png"):
        Collator(tiny.processor())([gone])


def test_a_row_whose_image_cannot_be_used_is_left_out_where_that_is_wanted(tmp_path: Path) -> None:
    processor, told = tiny.processor(), []
    (tmp_path / "text.png").write_text("no image")
    good = build(Conversation("good", (Turn("what", "red"),), tiny.samples(tmp_path)[0].image), [], processor, 99)
    bad = build(Conversation("bad", (Turn("what", "red"),), tmp_path / "text.png"), [], processor, 99)
    worse = build(
        Conversation("worse", (Turn("what", "red"),)), [Sample("s", "t", tmp_path / "gone.png")], processor, 99
    )
    collate = Collator(processor, skipped=told.append)
    batch = collate([bad, good, worse])
    assert torch.equal(batch["pixel_values"], Collator(processor)([good])["pixel_values"])
    assert ["'bad'" in str(told[0]), "'worse'" in str(told[1])] == [True, True]
    with pytest.raises(ImageError, match=r"text\.png"):
        collate([bad])


class TestTextOnlyBesideImages:
    """Rows without an image or a context train the same beside others and alone, and reach every module."""

    def inputs(self, tmp_path: Path) -> tuple[list[Example], Collator]:
        processor = tiny.processor()
        samples = tiny.samples(tmp_path)
        seen = build(Conversation("a", (Turn("what", "red"),), samples[0].image), samples[:2], processor, 99)
        read = build(Conversation("b", (Turn("q of France", "Paris"),)), [], processor, 99)
        return [seen, read], Collator(processor)

    def test_gradients_add_up(self, tmp_path: Path) -> None:
        examples, collate = self.inputs(tmp_path)
        model = tiny.model(tiny.config(perceiver_dropout=0.0)).train()

        def gradients(rows: list[Example]) -> dict[str, torch.Tensor]:
            model.zero_grad()
            model(**collate(rows), num_items_in_batch=1).loss.backward()
            return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

        both, first, second = gradients(examples), gradients(examples[:1]), gradients(examples[1:])
        assert both.keys() == first.keys() == second.keys()
        for name, gradient in both.items():
            torch.testing.assert_close(gradient, first[name] + second[name], rtol=1e-3, atol=1e-4)

    def test_a_row_of_text_alone_reaches_every_module_with_zeros(self, tmp_path: Path) -> None:
        examples, collate = self.inputs(tmp_path)
        model = tiny.model().train()
        model.vlm.vision_tower.requires_grad_(False)
        used: set[str] = set()
        for name, module in model.named_modules():
            module.register_forward_hook(lambda *_, name=name: used.add(name))
        model(**collate(examples[1:])).loss.backward()
        alone = set(used)
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
        assert all((p.grad == 0).all() for n, p in model.named_parameters() if p.requires_grad and "perceiver" in n)
        used.clear()
        model(**collate(examples))
        assert used == alone


class TestVisionLanguageModels:
    """The number of an image's tokens depends on the image, so rows come with what their processor gave."""

    @pytest.mark.parametrize("kind", ["llava", "qwen2_5_vl", "idefics3", "gemma3", "internvl"])
    def test_a_batch_is_what_the_processor_gives_and_a_row_learns_the_same_beside_others(
        self, kind: str, tmp_path: Path
    ) -> None:
        model, processor = tiny.added(kind)
        samples = tiny.samples(tmp_path)
        rows = [
            Conversation("a", (Turn("what", "red"), Turn("and", "a red square")), samples[0].image),
            Conversation("b", (Turn("which colour is the picture", "green it is"),), samples[1].image),
        ]
        examples = [build(rows[0], samples[:3], processor, 2048), build(rows[1], samples[3:], processor, 2048)]
        collate = Collator(processor)
        batch = collate(examples)
        assert batch["labels"].shape == batch["input_ids"].shape == batch["attention_mask"].shape
        assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()
        learned = batch["labels"][batch["labels"] != IGNORED]
        assert torch.equal(learned, batch["input_ids"][batch["labels"] != IGNORED])
        asked = processor.prepare(["what"], [samples[0].image], [samples[:3]])
        start = asked["input_ids"].shape[1]
        assert torch.equal(batch["input_ids"][:1, :start], asked["input_ids"])
        assert (batch["labels"][0, :start] == IGNORED).all()
        assert batch["labels"][0, start] != IGNORED
        with torch.no_grad():
            counts = [sum(label != IGNORED for label in example.labels[1:]) for example in examples]
            alone = [model(**collate([example])).loss * count for example, count in zip(examples, counts, strict=True)]
            torch.testing.assert_close(model(**batch).loss, sum(alone) / sum(counts), rtol=1e-4, atol=1e-4)

    def test_a_sample_whose_image_cannot_be_used_takes_its_row_with_it(self, tmp_path: Path) -> None:
        _, processor = tiny.added("qwen2_5_vl")
        told: list[SampleError] = []
        good = build(Conversation("good", (Turn("what", "red"),)), tiny.samples(tmp_path)[:1], processor, 999)
        lost = [Sample("s", "t", tmp_path / "gone.png")]
        bad = build(Conversation("bad", (Turn("what", "red"),)), lost, processor, 999)
        batch = Collator(processor, skipped=told.append)([bad, good])
        assert len(batch["input_ids"]) == 1
        assert ["'bad'" in str(error) for error in told] == [True]
