"""A model taken apart gives what it gave as a whole."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from camml.errors import ModelFolderError
from camml.model import CamMLForConditionalGeneration, CamMLProcessor
from camml.model.split import split
from tests import tiny


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(("text", "tied"), [("llama", False), ("qwen2", True)])
def test_front_and_language_model_are_the_whole(tmp_path, text, tied) -> None:
    whole = tiny.model(tiny.config(text=text, tied=tied))
    processor = tiny.processor(whole.config)
    whole.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    front_folder, language_folder = split(tmp_path / "model")
    front, found = CamMLForConditionalGeneration.from_pretrained(front_folder, output_loading_info=True)
    assert not any(found.values())
    language, found = AutoModelForCausalLM.from_pretrained(language_folder, output_loading_info=True)
    assert not any(found.values())
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
