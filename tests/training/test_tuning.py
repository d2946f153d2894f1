"""Which parts of a model are trained: LoRA in all linear layers of any language model, checkpointed perceivers."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers import (
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    Phi3Config,
    PhiConfig,
    PretrainedConfig,
    Qwen3MoeConfig,
)
from transformers.pytorch_utils import Conv1D

from camml.errors import OptionError
from camml.model import CamMLForConditionalGeneration
from camml.model.parts import config_of_parts
from camml.model.perceiver import PerceiverLayer
from camml.training import tuning
from camml.training.arguments import ModelArguments
from tests import tiny

SIZES = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "pad_token_id": 0}
WIDE = {"intermediate_size": 48}
LANGUAGES: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(**SIZES, **WIDE),
    "phi": lambda: PhiConfig(**SIZES, **WIDE),
    "phi3": lambda: Phi3Config(**SIZES, **WIDE),
    "gpt_neox": lambda: GPTNeoXConfig(**SIZES, **WIDE),
    "gemma2": lambda: Gemma2Config(**SIZES, **WIDE, head_dim=8, num_key_value_heads=2),
    "qwen3_moe": lambda: Qwen3MoeConfig(**SIZES, **WIDE, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=8),
    "gpt2": lambda: GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=4, pad_token_id=0),
}


def with_language(kind: str) -> CamMLForConditionalGeneration:
    sizes = {"perceiver_hidden_size": 24, "perceiver_queries": 3, "perceiver_heads": 2}
    return tiny.model(config_of_parts(tiny.vision_config(), LANGUAGES[kind](), **sizes))


def tuned(model: CamMLForConditionalGeneration, tune: str) -> nn.Module:
    return tuning.freeze(model, ModelArguments(model_name_or_path="-", tune=tune, lora_r=2))


@pytest.mark.parametrize("kind", LANGUAGES)
def test_lora_covers_every_linear_layer_of_the_language_model_but_its_head(kind: str) -> None:
    model = with_language(kind)
    language, head = model.vlm.language_model, model.get_output_embeddings()
    wanted = {
        f"vlm.language_model.{name}"
        for name, part in language.named_modules()
        if isinstance(part, nn.Linear | Conv1D) and part is not head
    }
    wrapped = tuned(model, "lora")
    trained = {name for name, parameter in wrapped.named_parameters() if parameter.requires_grad}
    reached = {name.partition(".lora_A")[0].removeprefix("base_model.model.") for name in trained if "lora_A" in name}
    assert reached == wanted
    assert len(wanted) >= 2 * 4
    added = {name.removeprefix("base_model.model.") for name in trained if ".lora_" not in name}
    parameters = [name for name, _ in with_language(kind).named_parameters()]
    assert added == {name for name in parameters if name.startswith(("vlm.projector.", "context_perceiver."))}


def test_lora_alone_leaves_all_else_as_it_starts() -> None:
    arguments = ModelArguments(model_name_or_path="-", tune="lora", lora_r=2, lora_alone=True)
    wrapped = tuning.freeze(with_language("llama"), arguments)
    trained = {name for name, parameter in wrapped.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(".lora_" in name for name in trained)
    with pytest.raises(OptionError, match="add --tune lora"):
        ModelArguments(model_name_or_path="-", tune="full", lora_alone=True)


@pytest.mark.parametrize("kind", ["llava", "qwen2_5_vl", "idefics3", "gemma3"])
def test_of_a_vision_language_model_it_is_the_language_part(kind: str) -> None:
    model, _ = tiny.added(kind)
    targets = tuning.lora_targets(model)
    assert len(targets) == 2 * 7  # four of attention, three of the feed-forward layer
    parts = tuning.count_parameters(tuned(model, "lora"))
    assert set(parts) == {"lora", "language_model", "vision_tower", "context_perceiver"}
    assert parts["vision_tower"][1] == parts["language_model"][1] == 0
    assert parts["lora"][0] == parts["lora"][1] > 0
    assert parts["context_perceiver"][0] == parts["context_perceiver"][1] > 0


class TestGradientCheckpointing:
    def model(self) -> CamMLForConditionalGeneration:
        return tiny.model(tiny.config(perceiver_dropout=0.0)).train()

    def test_reaches_the_perceivers_and_the_gradients_are_the_same(self, tmp_path) -> None:
        processor = tiny.processor()
        samples = tiny.samples(tmp_path)
        inputs = processor.prepare(["what is it"], [samples[0].image], [samples[:3]], padding_side="right")
        inputs["labels"] = inputs["input_ids"].where(inputs["input_ids"] < 300, -100)
        gradients, layers = [], []
        for checkpointing in (False, True):
            model = self.model()
            if checkpointing:
                model.gradient_checkpointing_enable({"use_reentrant": False})
            layers.append([m.gradient_checkpointing for m in model.modules() if isinstance(m, PerceiverLayer)])
            calls = 0

            def count(*_: object) -> None:
                nonlocal calls
                calls += 1

            model.context_perceiver.context_perceiver.layers[0].expand.register_forward_hook(count)
            model(**inputs).loss.backward()
            assert calls == 2 * (2 if checkpointing else 1)  # images and texts, once more for the backward pass
            gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        assert layers == [[False] * 6, [True] * 6]
        assert gradients[0].keys() == gradients[1].keys()
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-7)

    def test_reaches_them_beside_lora(self) -> None:
        wrapped = tuned(self.model(), "lora")
        wrapped.gradient_checkpointing_enable({"use_reentrant": False})
        assert all(m.gradient_checkpointing for m in wrapped.modules() if isinstance(m, PerceiverLayer))
