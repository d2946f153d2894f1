"""A model as people use it: spread over devices, quantised, compiled, in threads, copied, resized, asked wrongly."""

import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BitsAndBytesConfig, CLIPVisionConfig, LlamaConfig

from camml import load_model
from camml.errors import OptionError
from camml.model import CamMLForConditionalGeneration
from camml.model.parts import config_of_parts
from camml.types import Sample
from tests import tiny

FAMILIES = ["parts", "llava", "qwen2_5_vl"]


def made(name: str) -> tuple[CamMLForConditionalGeneration, Any]:
    """A model and its processor: of parts, or added to a family."""
    if name != "parts":
        return tiny.added(name)
    model = tiny.model()
    return model, tiny.processor(model.config)


def asked(processor: Any, folder: Path, samples: list[Sample] | None = None) -> dict[str, torch.Tensor]:
    """A question with a picture and samples."""
    picture = tiny.image(folder, "query", (200, 180, 0))
    return dict(processor.prepare(["what is it"], [picture], [samples or tiny.samples(folder)]))


@torch.no_grad()
def logits(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The logits of the whole prompt."""
    scores: torch.Tensor = model(**inputs).logits
    return scores


def words(model: Any, inputs: dict[str, torch.Tensor], **options: Any) -> list[int]:
    """Six tokens."""
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False} | options
    told = model.generate(**inputs, **options)
    return list(told[0, inputs["input_ids"].shape[1] :].tolist())


@pytest.mark.long
@pytest.mark.parametrize("family", ["parts", "llava"])
@pytest.mark.parametrize(
    "places",
    [
        {"vlm": "cpu", "context_perceiver": "disk"},
        {"vlm": "disk", "context_perceiver": "cpu"},
        {"": "disk"},
        {"": "cpu"},
        "auto",
    ],
    ids=str,
)
def test_parts_may_wait_on_disk(family: str, places: Any, tmp_path: Path) -> None:
    model, processor = made(family)
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    spread = CamMLForConditionalGeneration.from_pretrained(
        tmp_path / "model", device_map=places, offload_folder=tmp_path / "offload"
    ).eval()
    waiting = {name for name, part in spread.named_parameters() if part.device.type == "meta"}
    assert any(name.startswith("context_perceiver") for name in waiting) == (
        isinstance(places, dict) and "disk" in (places.get("context_perceiver"), places.get(""))
    )
    inputs = asked(processor, tmp_path)
    assert torch.equal(logits(spread, inputs), logits(model, inputs))
    assert words(spread, inputs) == words(model, inputs)


def wide() -> CamMLForConditionalGeneration:
    """A model whose layers are wide enough to be packed in blocks."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_hidden_layers": 2}
    vision = CLIPVisionConfig(**sizes, image_size=28, patch_size=7)
    text = LlamaConfig(**sizes, num_key_value_heads=2, vocab_size=320, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    perceivers = {"hidden_size": 64, "heads": 2, "queries": 3, "intermediate_size": 64}
    return tiny.model(config_of_parts(vision, text, **{f"perceiver_{name}": n for name, n in perceivers.items()}))


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_may_be_quantised_as_they_are_loaded(bits: int, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    model = wide()
    model.save_pretrained(tmp_path / "model")
    tiny.processor(model.config).save_pretrained(tmp_path / "model")
    small, reader = load_model(
        tmp_path / "model", quantization_config=BitsAndBytesConfig(**{f"load_in_{bits}bit": True})
    )
    kinds = {type(module).__name__ for module in small.modules()}
    assert kinds & {"Linear4bit", "Linear8bitLt"}
    inputs = asked(reader, tmp_path)
    scores, exact = logits(small, inputs).float(), logits(model, inputs)
    assert scores.isfinite().all()
    assert torch.cosine_similarity(scores.flatten(), exact.flatten(), dim=0) > 0.5
    assert len(words(small, inputs)) == 6


@pytest.mark.long
@pytest.mark.parametrize("family", ["parts", "llava"])
def test_a_compiled_forward_pass_gives_the_same(family: str, tmp_path: Path) -> None:
    model, processor = made(family)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager")  # graphs may break, and those there are are run as they are
    for samples in (tiny.samples(tmp_path), tiny.samples(tmp_path)[::-1]):
        inputs = asked(processor, tmp_path, samples)
        torch.testing.assert_close(logits(compiled, inputs), logits(model, inputs), atol=2e-5, rtol=1e-4)
    torch.compiler.reset()


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_threads_with_different_samples_never_mix(family: str, tmp_path: Path) -> None:
    model, processor = made(family)
    contexts = [[Sample("a", f"number {n} is {'red blue' * n}")] for n in range(4)]
    rows = [asked(processor, tmp_path, context) for context in contexts]
    expected = [logits(model, row)[0, -1] for row in rows]
    assert (expected[0] - expected[1]).abs().max() > 1e-4
    start, mixed = threading.Barrier(len(rows)), []

    def ask(number: int) -> None:
        start.wait()
        for _ in range(40):
            difference = (logits(model, rows[number])[0, -1] - expected[number]).abs().max()
            if difference > 1e-5:
                mixed.append((number, float(difference)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not mixed


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_is_a_model_of_its_own(family: str, way: str, tmp_path: Path) -> None:
    model, processor = made(family)
    inputs = asked(processor, tmp_path)
    before = logits(model, inputs)
    fresh = made(family)[0]  # transformers' own models cannot be pickled once they have run
    twin = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(fresh))
    assert torch.equal(logits(twin, inputs), before)
    assert words(twin, inputs) == words(model, inputs)
    with torch.no_grad():
        twin.get_input_embeddings().weight.mul_(1.5)
    assert torch.equal(logits(model, inputs), before), "the original is as it was"
    assert not torch.equal(logits(twin, inputs), before)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("more", [3, 10, 64])
def test_after_a_resize_samples_and_pictures_still_count(family: str, more: int, tmp_path: Path) -> None:
    model, processor = made(family)
    size = model.get_input_embeddings().weight.shape[0]
    model.resize_token_embeddings(size + more)
    assert model.get_input_embeddings().weight.shape[0] == size + more
    samples = tiny.samples(tmp_path)
    usual = asked(processor, tmp_path, samples)
    before = logits(model, usual)[0, -1]
    assert (logits(model, asked(processor, tmp_path, samples[1:]))[0, -1] - before).abs().max() > 1e-5
    other = tiny.image(tmp_path, "other", (0, 90, 200))
    changed = processor.prepare(["what is it"], [other], [samples])
    assert (logits(model, dict(changed))[0, -1] - before).abs().max() > 1e-5
    assert torch.equal(changed["input_ids"], usual["input_ids"])
    model.save_pretrained(tmp_path / "model")
    again = CamMLForConditionalGeneration.from_pretrained(tmp_path / "model").eval()
    assert torch.equal(logits(again, usual)[0, -1], before)


@pytest.mark.parametrize("family", FAMILIES)
class TestAskedWrongly:
    def test_placeholders_without_samples(self, family: str, tmp_path: Path) -> None:
        model, processor = made(family)
        inputs = {name: value for name, value in asked(processor, tmp_path).items() if not name.startswith("sample_")}
        for ask in (model, model.generate):
            with pytest.raises(ValueError, match=r"6 placeholders of context tokens, but no samples"):
                ask(**inputs)

    @pytest.mark.parametrize("kept", [5, 0])
    def test_a_wrong_number_of_placeholders(self, family: str, kept: int, tmp_path: Path) -> None:
        model, processor = made(family)
        inputs = asked(processor, tmp_path)
        places = (inputs["input_ids"] == model.config.context_token_id).nonzero()
        for row, column in places[kept:].tolist():
            inputs["input_ids"][row, column] = 5
        for ask in (model, model.generate):
            with pytest.raises(ValueError, match=f"{kept} placeholders with token id .*, but features for 6"):
                ask(**inputs)

    def test_after_an_error_the_next_call_is_clean(self, family: str, tmp_path: Path) -> None:
        model, processor = made(family)
        inputs = asked(processor, tmp_path)
        before = logits(model, inputs)
        wrong = dict(inputs) | {"input_ids": inputs["input_ids"].clone()}
        wrong["input_ids"][wrong["input_ids"] == model.config.context_token_id] = 5
        with pytest.raises(ValueError, match="placeholders"):
            model(**wrong)
        assert torch.equal(logits(model, inputs), before)


@pytest.mark.parametrize("family", FAMILIES)
class TestWaysToGenerate:
    @pytest.mark.parametrize(
        "options",
        [
            {"repetition_penalty": 1.8},
            {"num_beams": 3},
            {"num_beams": 2, "num_return_sequences": 2},
            {"do_sample": True, "num_return_sequences": 3},
            {"cache_implementation": "static", "disable_compile": True},
            {"no_repeat_ngram_size": 2},
        ],
        ids=str,
    )
    def test_samples_count_in_each(self, family: str, options: dict[str, Any], tmp_path: Path) -> None:
        model, processor = made(family)
        scores = []
        for samples in (tiny.samples(tmp_path), tiny.samples(tmp_path)[2:]):
            inputs = asked(processor, tmp_path, samples)
            torch.manual_seed(0)
            told = model.generate(**inputs, max_new_tokens=4, output_logits=True, return_dict_in_generate=True,
                                  **{"do_sample": False, **options})  # fmt: skip
            rows = options.get("num_return_sequences", 1)
            assert told.sequences.shape[0] == rows
            assert torch.equal(told.sequences[:, : inputs["input_ids"].shape[1]], inputs["input_ids"].expand(rows, -1))
            scores.append(told.logits[0])
        assert (scores[0] - scores[1]).abs().max() > 1e-4

    def test_a_static_cache_and_a_compiled_step_give_the_same_words(self, family: str, tmp_path: Path) -> None:
        model, processor = made(family)
        inputs = asked(processor, tmp_path)
        static = {"cache_implementation": "static", "disable_compile": True}
        assert words(model, inputs, **static) == words(model, inputs)

    def test_a_penalty_bites(self, family: str, tmp_path: Path) -> None:
        model, processor = made(family)
        inputs = asked(processor, tmp_path)
        options = {"max_new_tokens": 24, "min_new_tokens": 24}
        assert len(set(words(model, inputs, **options, repetition_penalty=50.0))) == 24, "no word comes twice"


def test_a_model_without_features_of_images_says_so(tmp_path: Path) -> None:
    model, processor = made("llava")
    inputs = asked(processor, tmp_path)
    seeing = type(model.vlm.base_model)
    kept = seeing.get_image_features, type(model.vlm).get_image_features
    try:
        del seeing.get_image_features, type(model.vlm).get_image_features
        with pytest.raises(OptionError, match="'llava' model has no get_image_features, so samples cannot have images"):
            model(**inputs)
    finally:
        seeing.get_image_features, type(model.vlm).get_image_features = kept
