"""The configuration of a CaMML model: a vision-language model, and the sizes of the perceivers that are added to it."""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.models.auto import CONFIG_MAPPING

from camml.errors import OptionError


class CamMLConfig(PretrainedConfig):
    """Sizes and choices of `CamMLForConditionalGeneration`.

    Args:
      vlm_config: configuration of the vision-language model (LLaVA, Qwen-VL, SmolVLM, ...), or its dictionary; a
        `LlavaPartsConfig` for a language model and a vision tower that become one.
      context_token_id: the placeholder of one context token. It may lie just past the vocabulary, so that no text
        forges it and no model says it; `CamMLProcessor` checks that its own is the same.
      perceiver_hidden_size: P, the width of the perceivers.
      perceiver_queries: M, learned queries of each kind; a context becomes 2 M tokens.
      perceiver_layers: layers of each perceiver; even ones have cross-attention.
      perceiver_heads: attention heads of every perceiver layer.
      perceiver_intermediate_size: width inside the perceivers' feed-forward layers.
      perceiver_dropout: probability, in training only.
      perceiver_positions: let words know their place in a sample, and samples their place in the context. The
        published models have no such positions (`False`), so that a context is a set to them. `True` is ours.
      perceiver_run_on: count the positions of words continuously over all samples, as in one text, so that how many
        words are read of the next sample depends on how many the one before it has. Ours.
      perceiver_seamless: with continuous positions, let the first M context tokens too hold words of any sample, and
        give samples without an image M blank patches to carry them; otherwise the first M hold words of the nearest
        sample alone, none where it has no image. A context has no more tokens than its samples have words. Ours.
      sample_max_length: tokens a sample's text may have; the rest is cut off.
      grounded: answers are held to words of their samples, unless somebody wants it otherwise. Ours.
      base_models: names of what the perceivers were added to, for the model card.

    Source: CaMML (ACL 2024), section 3; names of the official checkpoints in `camml.model.official`.

    Example:
      >>> from transformers import AutoConfig
      >>> config = CamMLConfig(vlm_config=AutoConfig.from_pretrained("models/vlm"), perceiver_queries=36)
      >>> config.perceiver_queries
      36
    """

    model_type = "camml"
    sub_configs = {"vlm_config": AutoConfig}  # noqa: RUF012 (transformers' own form)

    vlm_config: Any = None  # a PretrainedConfig once built
    context_token_id: Any = None  # an int once built
    perceiver_hidden_size: int = 768
    perceiver_queries: int = 128
    perceiver_layers: int = 2
    perceiver_heads: int = 12
    perceiver_intermediate_size: int = 3072
    perceiver_dropout: float = 0.1
    perceiver_positions: bool = True
    perceiver_run_on: bool = False
    perceiver_seamless: bool = False
    sample_max_length: int = 2048
    grounded: bool = False
    base_models: Any = None  # a list of names where they are known
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        # a copy, as settings of the new configuration are handed down, which a model that is in use must not feel
        self.vlm_config = deepcopy(built(self.vlm_config, "llava_parts"))
        if self.context_token_id is None:
            self.context_token_id = int(self.get_text_config().vocab_size)
        # transformers ties word embeddings only where the outermost configuration says so
        self.tie_word_embeddings = bool(getattr(self.vlm_config, "tie_word_embeddings", False))
        if self.perceiver_hidden_size % self.perceiver_heads:
            raise OptionError(
                f"perceiver_hidden_size {self.perceiver_hidden_size} is not a multiple of "
                f"perceiver_heads {self.perceiver_heads}"
            )
        if self.perceiver_run_on and not self.perceiver_positions:
            raise OptionError("perceiver_run_on (continuous positions) needs perceiver_positions")
        if self.perceiver_seamless and not self.perceiver_run_on:
            raise OptionError("perceiver_seamless needs perceiver_run_on (continuous positions)")
        super().__post_init__(**kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a configuration as transformers does; one of an official folder is read as it is."""
        from camml.model import official  # which itself needs this file

        if official.is_official(pretrained_model_name_or_path):
            kwargs["name_or_path"] = pretrained_model_name_or_path
            return official.OfficialConfig.from_dict({}, **kwargs)
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def get_text_config(self, *args: Any, **kwargs: Any) -> Any:
        """Return the configuration of the language model inside the vision-language model."""
        return self.vlm_config.get_text_config(*args, **kwargs)

    @property
    def hidden_size(self) -> int:
        """The width of the language model, and so of a context token."""
        return int(self.get_text_config().hidden_size)

    @property
    def context_tokens(self) -> int:
        """The number of tokens that a context becomes, whatever its number of samples."""
        return 2 * self.perceiver_queries

    @property
    def blank_patches(self) -> int:
        """The number of blank patches that a sample without an image has."""
        return self.perceiver_queries if self.perceiver_seamless else 0

    @property
    def image_token_id(self) -> int:
        """The placeholder of the vision-language model for one image token."""
        return image_token_id(self.vlm_config)


def check_placeholders(theirs: Mapping[str, Any], config: CamMLConfig) -> None:
    """Raise an OptionError unless the settings of a processor, as far as they go, name the placeholders of a model."""
    for name in ("context_token_id", "context_tokens", "image_token_id"):
        ours = getattr(config, name)
        if theirs.get(name, ours) != ours:
            raise OptionError(
                f"the processor is of another model: its {name} is {theirs[name]}, the model's is {ours}; load both "
                "from one folder, or make it with CamMLProcessor.build(model.config, ...)"
            )


def check_files(folder: Any) -> None:
    """Raise an OptionError if a folder holds a model of CaMML and a processor of another model."""
    files = [Path(str(folder)) / name for name in ("config.json", "processor_config.json")]
    if all(file.is_file() for file in files):
        values, settings = (json.loads(file.read_text("utf-8")) for file in files)
        if values.get("model_type") == CamMLConfig.model_type and settings.get("processor_class") == "CamMLProcessor":
            check_placeholders(settings, CamMLConfig.from_dict(values))


def image_token_id(config: Any) -> int:
    """Return the placeholder of an image token in the configuration of a vision-language model.

    Raises:
      OptionError: it names none.
    """
    for name in ("image_token_id", "image_token_index"):
        if getattr(config, name, None) is not None:
            return int(getattr(config, name))
    raise OptionError(f"the configuration of a {config.model_type!r} model names no image_token_id")


def built(config: dict[str, Any] | PretrainedConfig | None, default: str) -> PretrainedConfig:
    """Return a configuration as an object; a dictionary that does not say its `model_type` is of type `default`."""
    if isinstance(config, PretrainedConfig):
        return config
    values = dict(config or {})
    return CONFIG_MAPPING[values.pop("model_type", default)](**values)
