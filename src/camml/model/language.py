"""The language model inside a vision-language model: which part it is, what it reads, and itself alone."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from camml.errors import OptionError
from camml.model.llava_parts import LlavaPartsForConditionalGeneration


def language_part(model: Any) -> Any:
    """Return the smallest model inside a model that holds its word embeddings, with the layers that read them."""
    words = model.get_input_embeddings()
    models = (module for module in model.modules() if isinstance(module, PreTrainedModel))
    return [part for part in models if any(module is words for module in part.modules())][-1]


class _Read(Exception):
    """The arguments that a language model was about to read."""


_READING: ContextVar[object] = ContextVar("camml_reading", default=None)


def read_embeddings(vlm: Any, inputs: Mapping[str, Any]) -> Tensor:
    """Return what the language model inside a vision-language model reads: float[B, T, D]; its layers do not run.

    Raises:
      OptionError: it reads more than embeddings whose places follow one another.
    """
    mine, given = object(), dict[str, Any]()

    def stop(_: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        if _READING.get() is mine:  # another thread may run the same model
            raise _Read(named)

    token, handle = _READING.set(mine), language_part(vlm).register_forward_pre_hook(stop, with_kwargs=True)
    try:
        vlm(**inputs)
    except _Read as read:
        given = read.args[0]
    finally:
        handle.remove()
        _READING.reset(token)
    if (reason := _more_than_embeddings(given)) is not None:
        raise OptionError(f"a {vlm.config.model_type!r} model reads more than embeddings: {reason}")
    embeds: Tensor = given["inputs_embeds"]
    return embeds


def _more_than_embeddings(given: Mapping[str, Any]) -> str | None:
    """Return what the arguments of a language model hold besides embeddings, if anything."""
    places, mask = given.get("position_ids"), given.get("attention_mask")
    if isinstance(places, Tensor) and places.dim() != 2:
        return "its positions have several axes"
    if isinstance(mask, Mapping) or (isinstance(mask, Tensor) and mask.dim() != 2):
        return "some tokens see those behind them"
    if isinstance(places, Tensor) and bool((places != torch.arange(places.shape[1], device=places.device)).any()):
        return "its positions do not count from 0"
    usual = ("inputs_embeds", "attention_mask", "position_ids", "cache_position")
    for name, value in given.items():
        parts = value if isinstance(value, list | tuple) else [value]
        if name not in usual and any(isinstance(part, Tensor) for part in parts):
            return f"its layers read {name} besides"
    return None if isinstance(given.get("inputs_embeds"), Tensor) else "its layers get no inputs_embeds"


@torch.no_grad()
def bare_language_model(vlm: Any, embeds: Tensor) -> PreTrainedModel:
    """Return the language model inside a vision-language model as one that runs by itself; no weights are copied.

    Args:
      embeds: float[B, T, D] of some prompt, as `read_embeddings` gives them, by which both are compared.

    Raises:
      OptionError: the vision-language model has another head than such a language model.
    """
    if isinstance(vlm, LlavaPartsForConditionalGeneration):
        return vlm.language_model
    part, head, kind = language_part(vlm), vlm.get_output_embeddings(), vlm.config.model_type
    config = part.config
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or head is None:
        raise OptionError(f"a {kind!r} model has a {config.model_type!r} language model, which is none by itself")
    config.tie_word_embeddings = head.weight is vlm.get_input_embeddings().weight
    with torch.device("meta"):
        language: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=part.dtype)
    setattr(language, language.base_model_prefix, part)
    language.set_output_embeddings(head)
    language.generation_config = vlm.generation_config
    other = any(parameter.is_meta for parameter in language.parameters())
    if not other:
        expected, logits = head(part(inputs_embeds=embeds).last_hidden_state), language(inputs_embeds=embeds).logits
        other = not torch.allclose(logits, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    if other:
        raise OptionError(f"a {kind!r} model has another head than a {config.model_type!r} language model")
    return language
