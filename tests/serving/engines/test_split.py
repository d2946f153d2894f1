"""A model taken apart gives what it gave as a whole."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from camml.errors import ModelFolderError, OptionError
from camml.model import CamMLForConditionalGeneration, CamMLProcessor
from camml.serving.engines._split import split
from camml.types import Sample
from tests import families, tiny


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.long
@pytest.mark.parametrize(("text", "tied"), [("llama", False), ("qwen2", True)])
def test_front_and_language_model_are_the_whole(tmp_path, text, tied) -> None:
    whole = tiny.model(tiny.config(text=text, tied=tied))
    processor = tiny.processor(whole.config)
    whole.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    front_folder, language_folder = split(tmp_path / "model")
    front, result = CamMLForConditionalGeneration.from_pretrained(front_folder, output_loading_info=True)
    assert not any(result.values())
    language, result = AutoModelForCausalLM.from_pretrained(language_folder, output_loading_info=True)
    assert not any(result.values())
    samples = tiny.samples(tmp_path)
    inputs = CamMLProcessor.from_pretrained(front_folder).prepare(
        ["what"], images=[samples[0].image], samples=[samples]
    )
    mask = inputs.pop("attention_mask")
    embeds = front.embed(**inputs)
    torch.testing.assert_close(embeds, whole.embed(**inputs), rtol=0, atol=0)
    expected = whole(**inputs, attention_mask=mask).logits
    torch.testing.assert_close(language(inputs_embeds=embeds, attention_mask=mask).logits, expected)
    assert sum(p.numel() for p in front.vlm.language_model.parameters()) < 320 * 24 + 100, (
        "words and a norm, nothing else"
    )
    assert (
        AutoTokenizer.from_pretrained(language_folder)("what is").input_ids == processor.tokenizer("what is").input_ids
    )


MORE = {
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm4v"), "its positions have several axes"),
    **dict.fromkeys(("gemma3", "paligemma"), "some tokens see those behind them"),
    "aya_vision": "has another head than a 'cohere2' language model",
}
"""Families whose language model does not run by itself, and why."""


@pytest.mark.long
@pytest.mark.parametrize("family", families.FAMILIES)
def test_the_language_model_of_a_vision_language_model_runs_by_itself_or_is_refused(
    family: str, tmp_path: Path
) -> None:
    whole, processor = tiny.added(family)
    whole.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    if family in MORE:
        with pytest.raises(OptionError, match=f"a '{family}' model .*{MORE[family]}.*; use --engine transformers"):
            split(tmp_path / "model")
        return
    front_folder, language_folder = split(tmp_path / "model")
    front, missed = CamMLForConditionalGeneration.from_pretrained(front_folder, output_loading_info=True)
    assert not any(missed.values())
    language, missed = AutoModelForCausalLM.from_pretrained(language_folder, output_loading_info=True)
    assert not any(missed.values())
    samples = [*tiny.samples(tmp_path)[:2], Sample("words", "a text without any image")]
    inputs = CamMLProcessor.from_pretrained(front_folder).prepare(["what"], [samples[0].image], [samples])
    with torch.no_grad():
        embeds = front.embed(**inputs)
        assert torch.equal(embeds, whole.embed(**inputs)), "the whole model embeds the same, and runs no layer for it"
        assert torch.equal(language(inputs_embeds=embeds).logits, whole(**inputs).logits)
    assert not any(".layers." in name for name, _ in front.language_part.named_parameters())


@pytest.mark.long
def test_two_threads_that_read_and_answer_do_not_meet(tmp_path: Path) -> None:
    """One stops the language model to see what it reads, while another runs it."""
    whole, processor = tiny.added("llava")
    inputs = processor.prepare(["what"], [tiny.samples(tmp_path)[0].image], [tiny.samples(tmp_path)])

    def answer(_: int) -> torch.Tensor:
        with torch.no_grad():
            return whole(**inputs).logits

    def embed(_: int) -> torch.Tensor:
        with torch.no_grad():
            return whole.embed(**inputs)

    expected = answer(0), embed(0)
    with ThreadPoolExecutor(4) as pool:
        answers, embeds = pool.map(answer, range(12)), pool.map(embed, range(12))
        assert all(torch.equal(logits, expected[0]) for logits in answers)
        assert all(torch.equal(read, expected[1]) for read in embeds)


def test_a_model_is_taken_apart_once_and_again_when_it_changes(camml_folder, cache) -> None:
    first, _ = split(camml_folder)
    written = first.stat().st_mtime_ns
    assert split(camml_folder)[0].stat().st_mtime_ns == written
    (camml_folder / "config.json").touch()
    second, _ = split(camml_folder)
    assert second != first
    assert second.is_dir()


def test_a_language_model_is_not_copied(llm_folder) -> None:
    front, language_folder = split(llm_folder)
    assert language_folder == llm_folder
    shallow = AutoModelForCausalLM.from_pretrained(front)
    whole = AutoModelForCausalLM.from_pretrained(llm_folder)
    assert torch.equal(shallow.get_input_embeddings().weight, whole.get_input_embeddings().weight)
    assert shallow.generation_config.eos_token_id == whole.generation_config.eos_token_id


def test_a_failure_leaves_nothing(tmp_path, cache) -> None:
    with pytest.raises(ModelFolderError, match=r"config\.json"):
        split(tmp_path)
    broken = tmp_path / "broken"
    tiny.model().save_pretrained(broken)  # no processor
    with pytest.raises(Exception, match="broken"):
        split(broken)
    assert not [path for path in (cache / "split").iterdir() if not path.name.endswith(".lock")]
