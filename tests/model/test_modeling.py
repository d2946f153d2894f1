"""What the model promises, on tiny models of several families."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, CompileConfig
from transformers.models.auto.processing_auto import AutoProcessor

from camml.errors import OptionError
from camml.model import CamMLConfig, CamMLForConditionalGeneration, LlavaPartsForConditionalGeneration
from camml.model.llava_parts import fill_places
from camml.prompts import Turn
from camml.types import Sample
from tests import tiny

EXACT = {"atol": 2e-5, "rtol": 1e-4}


@pytest.fixture(scope="module")
def model() -> CamMLForConditionalGeneration:
    return tiny.model()


class TestFillPlaces:
    def test_features_stand_where_the_placeholders_were_in_reading_order(self) -> None:
        ids = torch.tensor([[5, 9, 9, 1], [9, 2, 9, 3]])
        features = torch.arange(8.0).reshape(2, 2, 2)
        filled = fill_places(torch.full((2, 4, 2), -1.0), ids == 9, 9, features)
        assert torch.equal(filled[ids == 9], features.reshape(4, 2))
        assert (filled[ids != 9] == -1).all()

    @pytest.mark.parametrize("rows", [0, 1, 3])
    def test_a_wrong_number_is_an_error_that_says_both_numbers(self, rows: int) -> None:
        ids = torch.tensor([[9, 9, 9, 9]])
        with pytest.raises(ValueError, match=rf"4 placeholders.*features for {rows * 2}"):
            fill_places(torch.zeros(1, 4, 3), ids == 9, 9, torch.zeros(rows, 2, 3))

    def test_gradients_reach_the_features(self) -> None:
        features = torch.ones(1, 2, 3, requires_grad=True)
        fill_places(torch.zeros(1, 3, 3), torch.tensor([[True, True, False]]), 9, features).sum().backward()
        assert torch.equal(features.grad, torch.ones(1, 2, 3))


class TestWhatTheAnswerDependsOn:
    """With the cache on: what is generated later must still depend on image and samples."""

    def steps(self, model: CamMLForConditionalGeneration, **inputs: torch.Tensor) -> torch.Tensor:
        """The logits of four greedy steps, float[4, V]."""
        given = model.generate(
            **inputs, max_new_tokens=4, min_new_tokens=4, do_sample=False, use_cache=True,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        return torch.cat(given.logits)

    def change(self, model, before: list[Sample], after: list[Sample], images: tuple) -> torch.Tensor:
        processor = tiny.processor(model.config)
        first, second = (
            self.steps(model, **processor.prepare(["what is it"], images=[image], samples=[context]))
            for image, context in zip(images, (before, after), strict=True)
        )
        return (first - second).abs().amax(dim=1)

    def test_the_image(self, model, samples, picture, tmp_path) -> None:
        other = tiny.image(tmp_path, "other", (0, 90, 200))
        assert (self.change(model, samples, samples, (picture, other)) > 1e-3).all()

    @pytest.mark.parametrize("number", range(4))
    def test_the_text_of_each_sample(self, model, samples, picture, number) -> None:
        changed = list(samples)
        changed[number] = Sample("x", samples[number].text + " white field", samples[number].image)
        assert (self.change(model, samples, changed, (picture, picture)) > 1e-4).all()

    @pytest.mark.parametrize("number", [0, 1, 3])
    def test_the_image_of_each_sample(self, model, samples, picture, tmp_path, number) -> None:
        changed = list(samples)
        changed[number] = Sample("x", samples[number].text, tiny.image(tmp_path, "new", (130, 0, 130)))
        assert (self.change(model, samples, changed, (picture, picture)) > 1e-4).all()

    def test_the_order_of_samples(self, model, samples, picture) -> None:
        assert (self.change(model, samples, samples[::-1], (picture, picture)) > 1e-4).all()

    def test_the_order_of_words_in_a_sample(self, model, picture) -> None:
        first, second = Sample("a", "red white"), Sample("a", "white red")
        assert (self.change(model, [first], [second], (picture, picture)) > 1e-4).all()

    @pytest.mark.long
    def test_without_positions_the_samples_are_a_set_as_in_the_published_models(self, samples, picture) -> None:
        model = tiny.model(tiny.config(perceiver_positions=False))
        assert (self.change(model, samples, samples[::-1], (picture, picture)) < 1e-3).all()

    def test_nothing_else_changes_from_run_to_run(self, model, samples, picture) -> None:
        assert (self.change(model, samples, samples, (picture, picture)) == 0).all()


class TestPadding:
    def rows(self, samples: list[Sample], picture: Path) -> list[tuple]:
        """Questions of different lengths with and without image, with 0 to 4 samples."""
        return [
            ("what", None, samples[:1]),
            ("which colour is the picture, please", picture, samples),
            ("the capital of France", picture, []),
            ("is it red", None, samples[2:3]),
            ("hello", None, []),
            ("a longer question about a white field and a red square", picture, samples[1:3]),
        ]

    @pytest.mark.parametrize("vision", ["clip", "siglip", "dinov2"])
    @pytest.mark.parametrize("text", ["llama", "qwen2"])
    def test_a_batch_gives_what_each_row_gives_alone(self, samples, picture, vision, text) -> None:
        model = tiny.model(tiny.config(vision, text))
        processor = tiny.processor(model.config)
        rows = self.rows(samples, picture)
        questions, images, contexts = (list(column) for column in zip(*rows, strict=True))
        batch = tiny.last_logits(model, **processor.prepare(questions, images=images, samples=contexts))
        for number, (question, image, context) in enumerate(rows):
            alone = tiny.last_logits(model, **processor.prepare([question], images=[image], samples=[context]))
            torch.testing.assert_close(batch[number], alone[0], **EXACT)

    def test_generated_tokens_are_the_same_in_a_batch(self, model, samples, picture) -> None:
        processor = tiny.processor(model.config)
        rows = self.rows(samples, picture)
        questions, images, contexts = (list(column) for column in zip(*rows, strict=True))
        inputs = processor.prepare(questions, images=images, samples=contexts)
        batch = model.generate(**inputs, max_new_tokens=8, do_sample=False)[:, inputs["input_ids"].shape[1] :]
        for number, (question, image, context) in enumerate(rows):
            inputs = processor.prepare([question], images=[image], samples=[context])
            alone = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
            assert processor.decode(batch[number]) == processor.decode(alone)

    def test_what_stands_in_padding_is_never_read(self, model, samples, picture) -> None:
        processor = tiny.processor(model.config)
        inputs = processor.prepare(["what", "is it red"], images=[picture, None], samples=[samples[:1], samples[1:]])
        before = tiny.last_logits(model, **inputs)
        hidden = inputs["sample_attention_mask"] == 0
        inputs["sample_input_ids"][hidden] = 17
        inputs["input_ids"][inputs["attention_mask"] == 0] = 23
        torch.testing.assert_close(tiny.last_logits(model, **inputs), before, **EXACT)

    def test_rows_with_other_numbers_of_pictures_are_as_alone(self, model, samples, picture, tmp_path) -> None:
        processor = tiny.processor(model.config)
        other = tiny.image(tmp_path, "other", (10, 20, 220))
        rows = [
            ("what", [picture, other], samples),
            ([Turn("a", "b", (picture,)), Turn("what", None, (other,))], [picture, other], samples[:1]),
            ("what", [], []),
            ("what is it", [other], []),
        ]
        questions, shown, contexts = (list(column) for column in zip(*rows, strict=True))
        inputs = processor.prepare(questions, shown, contexts)
        assert len(inputs["pixel_values"]) == 5
        together = tiny.last_logits(model, **inputs)
        for number, row in enumerate(rows):
            alone = processor.prepare(*([part] for part in row))
            torch.testing.assert_close(tiny.last_logits(model, **alone)[0], together[number], **EXACT)

    def test_every_picture_is_read_where_it_stands(self, model, picture, tmp_path) -> None:
        processor = tiny.processor(model.config)
        other = tiny.image(tmp_path, "other", (10, 20, 220))
        talk = [Turn("a", "b", (picture,)), Turn("what", None, (other,))]
        for asked in ("what", talk):
            pairs = [[picture, other], [other, picture], [picture, picture], [other, other]]
            scores = [tiny.last_logits(model, **processor.prepare([asked], [pair])) for pair in pairs]
            for number, score in enumerate(scores):
                assert all((score - before).abs().max() > 1e-3 for before in scores[:number])

    def test_padding_on_either_side_gives_the_same(self, model, samples, picture) -> None:
        processor = tiny.processor(model.config)
        rows = (["what", "which colour is the picture"], [picture, None], [samples, samples[:1]])
        left, right = (processor.prepare(rows[0], rows[1], rows[2], padding_side=side) for side in ("left", "right"))
        ends = right["attention_mask"].sum(dim=1) - 1
        with torch.no_grad():
            last = model(**right).logits[torch.arange(2), ends]
        torch.testing.assert_close(tiny.last_logits(model, **left), last, **EXACT)

    def test_text_samples_alone_work(self, model) -> None:
        processor = tiny.processor(model.config)
        inputs = processor.prepare(["what"], samples=[[Sample("a", "red"), Sample("b", "white field")]])
        assert "sample_pixel_values" not in inputs
        assert tiny.last_logits(model, **inputs).isfinite().all()


class TestGenerate:
    def inputs(self, model, samples, picture):
        return tiny.processor(model.config).prepare(
            ["what", "which colour is the picture"], images=[picture, None], samples=[samples, samples[:2]]
        )

    def test_the_static_cache_gives_the_same_tokens(self, model, samples, picture) -> None:
        inputs = self.inputs(model, samples, picture)
        dynamic = model.generate(**inputs, max_new_tokens=8, do_sample=False)
        static = model.generate(
            **inputs, max_new_tokens=8, do_sample=False, cache_implementation="static", disable_compile=True
        )
        assert torch.equal(dynamic, static)

    @pytest.mark.long
    def test_a_step_compiles_as_a_whole(self, model, samples, picture) -> None:
        inputs = self.inputs(model, samples, picture)
        compiling = CompileConfig(backend="eager", mode=None, fullgraph=True)
        compiling._compile_all_devices = True  # transformers compiles on a GPU by itself
        options = {"max_new_tokens": 6, "do_sample": False}
        compiled = model.generate(**inputs, **options, cache_implementation="static", compile_config=compiling)
        assert torch.equal(compiled, model.generate(**inputs, **options))

    def test_no_cache_gives_the_same_tokens(self, model, samples, picture) -> None:
        inputs = self.inputs(model, samples, picture)
        cached = model.generate(**inputs, max_new_tokens=6, do_sample=False)
        assert torch.equal(cached, model.generate(**inputs, max_new_tokens=6, do_sample=False, use_cache=False))

    def test_step_by_step_forward_gives_the_same_tokens(self, model, samples, picture) -> None:
        inputs = self.inputs(model, samples, picture)
        expected = model.generate(**inputs, max_new_tokens=5, min_new_tokens=5, do_sample=False)[:, -5:]
        mask, result = inputs["attention_mask"], []
        with torch.no_grad():
            output = model(**inputs, use_cache=True)
            for _ in range(5):
                token = output.logits[:, -1].argmax(dim=-1, keepdim=True)
                result.append(token)
                mask = torch.cat([mask, torch.ones_like(token)], dim=1)
                places = mask.sum(dim=1, keepdim=True) - 1
                output = model(token, mask, past_key_values=output.past_key_values, position_ids=places)
        assert torch.equal(torch.cat(result, dim=1), expected)

    def test_the_prompt_comes_first_and_several_answers_share_it(self, model, samples, picture) -> None:
        inputs = self.inputs(model, samples, picture)
        prompts = inputs["input_ids"].repeat_interleave(3, dim=0)
        tokens = model.generate(**inputs, max_new_tokens=4, do_sample=True, num_return_sequences=3)
        assert torch.equal(tokens[:, : prompts.shape[1]], prompts)

    def test_beams_keep_each_row_with_its_own_samples(self, model, samples, picture) -> None:
        inputs = self.inputs(model, samples, picture)
        whole = model.generate(**inputs, max_new_tokens=5, num_beams=3, do_sample=False)
        processor = tiny.processor(model.config)
        alone = processor.prepare(["which colour is the picture"], samples=[samples[:2]])
        single = model.generate(**alone, max_new_tokens=5, num_beams=3, do_sample=False)
        assert processor.decode(whole[1, -5:]) == processor.decode(single[0, -5:])

    def test_a_penalty_on_repetition_does_not_stumble_over_placeholders(self, model, samples, picture) -> None:
        inputs = self.inputs(model, samples, picture)
        model.generate(**inputs, max_new_tokens=4, do_sample=False, repetition_penalty=1.3, no_repeat_ngram_size=2)

    def test_a_placeholder_cannot_be_said(self, model) -> None:
        scored = model.get_output_embeddings().weight.shape[0]
        assert scored <= min(model.config.context_token_id, model.config.image_token_id)


class TestFolders:
    @pytest.mark.parametrize("tied", [False, True])
    @pytest.mark.parametrize("vision", ["clip", "siglip", "dinov2"])
    def test_a_saved_model_comes_back_equal(self, tmp_path, samples, picture, vision, tied) -> None:
        model = tiny.model(tiny.config(vision, tied=tied))
        processor = tiny.processor(model.config)
        model.save_pretrained(tmp_path / "model")
        processor.save_pretrained(tmp_path / "model")
        again = AutoModelForImageTextToText.from_pretrained(tmp_path / "model")
        reader = AutoProcessor.from_pretrained(tmp_path / "model")
        assert isinstance(again, CamMLForConditionalGeneration)
        inputs = processor.prepare(["what"], images=[picture], samples=[samples])
        reread = reader.prepare(["what"], images=[picture], samples=[samples])
        assert all(torch.equal(inputs[name], reread[name]) for name in inputs)
        assert torch.equal(tiny.last_logits(again, **reread), tiny.last_logits(model, **inputs))
        assert {n: p.shape for n, p in again.named_parameters()} == {n: p.shape for n, p in model.named_parameters()}

    def test_the_configuration_comes_back_equal(self, tmp_path) -> None:
        config = tiny.config("dinov2", "qwen2", image_size=14, projector_type="mlp3x_gelu")
        config.save_pretrained(tmp_path)
        assert CamMLConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()

    def test_built_parts_keep_their_weights(self) -> None:
        whole = tiny.model()
        before = {name: tensor.clone() for name, tensor in whole.vlm.state_dict().items()}
        parts = LlavaPartsForConditionalGeneration(
            whole.config.vlm_config, whole.vlm.vision_tower, whole.vlm.language_model
        )
        parts.projector = whole.vlm.projector
        model = CamMLForConditionalGeneration(whole.config, parts)
        assert {name: tensor.shape for name, tensor in model.vlm.state_dict().items()} == {
            name: tensor.shape for name, tensor in before.items()
        }
        for name, tensor in model.vlm.state_dict().items():
            assert torch.equal(before[name], tensor), name

    def test_bfloat16_is_close_to_float32(self, model, samples, picture, tmp_path) -> None:
        model.save_pretrained(tmp_path / "model")
        half = CamMLForConditionalGeneration.from_pretrained(tmp_path / "model", dtype=torch.bfloat16)
        assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
        inputs = tiny.processor(model.config).prepare(["what"], images=[picture], samples=[samples])
        inputs_half = {k: v.bfloat16() if v.is_floating_point() else v for k, v in inputs.items()}
        assert tiny.last_logits(half, **inputs_half).isfinite().all()
        assert tiny.last_logits(half, **inputs).isfinite().all()


def test_the_loss_is_the_mean_over_answer_tokens(samples, picture) -> None:
    model = tiny.model()
    inputs = tiny.processor(model.config).prepare(["what is it"], images=[picture], samples=[samples])
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[0, -3:] = torch.tensor([40, 50, 60])
    output = model(**inputs, labels=labels)
    by_hand = torch.nn.functional.cross_entropy(output.logits[0, -4:-1], labels[0, -3:])
    torch.testing.assert_close(output.loss, by_hand)


@pytest.mark.parametrize("items", [None, 7])
def test_training_gives_the_same_loss_and_gradients_from_the_learned_places_alone(samples, picture, items) -> None:
    model = CamMLForConditionalGeneration(tiny.config(perceiver_dropout=0.0))
    inputs = tiny.processor(model.config).prepare(["what", "what is it"], images=[picture, None], samples=[samples, []])
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[0, -3:] = torch.tensor([40, 50, 60])
    labels[1, 5] = 70
    more = {} if items is None else {"num_items_in_batch": items}
    losses, gradients, shapes = [], [], []
    for training in (False, True):
        model.train(training).zero_grad()
        output = model(**inputs, labels=labels, **more)
        output.loss.backward()
        losses.append(output.loss.detach())
        shapes.append(output.logits.shape[1])
        gradients.append({name: part.grad.clone() for name, part in model.named_parameters() if part.grad is not None})
    assert shapes == [labels.shape[1], 4]
    torch.testing.assert_close(*losses)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=lambda text, name=name: f"{name}: {text}")


def test_every_new_part_gets_a_gradient(samples, picture) -> None:
    model = tiny.model().train()
    inputs = tiny.processor(model.config).prepare(["what is it"], images=[picture], samples=[samples])
    model(**inputs, labels=inputs["input_ids"].masked_fill(inputs["input_ids"] >= 320, -100)).loss.backward()
    for name, parameter in model.named_parameters():
        if name.startswith(("context_perceiver", "vlm.projector")):
            assert parameter.grad is not None, name


@pytest.mark.parametrize("kind", ["mlp", "mlp0x_gelu", "conv", "mlpx_gelu", ""])
def test_an_unknown_projector_is_named_with_the_choices(kind: str) -> None:
    with pytest.raises(OptionError, match="linear, mlpNx_gelu"):
        CamMLForConditionalGeneration(tiny.config(projector_type=kind))


def test_neither_ids_nor_embeddings_is_an_error(model) -> None:
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        model()


def test_images_without_their_placeholders_are_an_error(model, picture) -> None:
    inputs = tiny.processor(model.config).prepare(["what"], images=[picture])
    inputs["input_ids"] = inputs["input_ids"][:, 1:]
    inputs["input_ids"][0, inputs["input_ids"][0].eq(model.config.image_token_id).nonzero()[0]] = 5
    del inputs["attention_mask"]
    with pytest.raises(ValueError, match="placeholders"):
        model(**inputs)
