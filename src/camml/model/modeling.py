"""The CaMML model: a vision tower, a projector, the context perceiver and a language model."""

from inspect import signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutputWithPast

from camml.model import official
from camml.model.config import CamMLConfig
from camml.model.embedding import FEATURE_INPUTS, InputEmbedding
from camml.model.perceiver import ContextPerceiver
from camml.model.projector import build_projector

IGNORED = -100
"""The label of a token that is not learned. Source: `ignore_index` of PyTorch's cross-entropy."""


class CamMLForConditionalGeneration(InputEmbedding, PreTrainedModel, GenerationMixin):
    """A language model that reads an image, and samples compressed to a fixed number of context tokens.

    Inputs are what `CamMLProcessor` gives. `input_ids` holds one placeholder for each context and image token, so a
    sequence has its final length from the start.

    Args:
      config: sizes and choices.
      vision_tower, language_model: parts already built and loaded; without them, parts with random weights.
    """

    config: CamMLConfig
    config_class = CamMLConfig
    base_model_prefix = "language_model"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _no_split_modules: ClassVar[list[str]] = ["PerceiverLayer"]
    _skip_keys_device_placement: ClassVar[list[str]] = ["past_key_values"]

    def __init__(
        self,
        config: CamMLConfig,
        vision_tower: PreTrainedModel | None = None,
        language_model: PreTrainedModel | None = None,
    ) -> None:
        super().__init__(config)
        vision, text = config.vision_config, config.text_config
        self.vision_tower = AutoModel.from_config(vision) if vision_tower is None else vision_tower
        self.language_model = AutoModelForCausalLM.from_config(text) if language_model is None else language_model
        self.projector = build_projector(config.projector_type, vision.hidden_size, text.hidden_size)
        self.context_perceiver = ContextPerceiver(config)
        self.post_init()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers; a folder in the official CaMML layout is read as it is."""
        if official.is_official(pretrained_model_name_or_path):
            return official.load(cls, pretrained_model_name_or_path, **kwargs)
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.initializer_range
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=std)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, ContextPerceiver):
            init.normal_(module.vision_queries, mean=0.0, std=std)
            init.normal_(module.text_queries, mean=0.0, std=std)
            for gain in (module.word_position, module.sample_position):
                if gain is not None:  # about as loud as projected word embeddings are with new weights
                    init.constant_(gain, 0.1)

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings of the language model."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings of the language model."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The head of the language model."""
        return self.language_model.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the head of the language model."""
        self.language_model.set_output_embeddings(new_embeddings)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """What the language model gives: `logits` float[B, T, V], and `loss` where there are labels.

        In training the logits are those of the places where something is to be learned alone: a head with a large
        vocabulary costs as much as layers, and most of a row is context and question.

        Args:
          input_ids: int64[B, T] with placeholders; after the first step the new tokens only.
          attention_mask: int64[B, T], 0 on padding.  inputs_embeds: float[B, T, D] instead of `input_ids`.
          labels: int64[B, T], -100 where nothing is to be learned; next-token cross-entropy.
          kwargs: inputs as in `embed`; everything else goes to the language model.
        """
        features = {name: kwargs.pop(name) for name in FEATURE_INPUTS if name in kwargs}
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if input_ids is not None:
            later = past_key_values is not None and past_key_values.get_seq_length() > 0
            inputs_embeds = self.embed(input_ids, **({} if later else features))
            if attention_mask is not None and not later and kwargs.get("position_ids") is None:
                kwargs["position_ids"] = (attention_mask.long().cumsum(dim=1) - 1).clamp_min(0)
        if labels is not None and self.training:
            kwargs |= self._learned_places(labels)
        output: CausalLMOutputWithPast = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            labels=labels,
            past_key_values=past_key_values,
            **kwargs,
        )
        return output

    def _learned_places(self, labels: Tensor) -> dict[str, Tensor]:
        """What lets the language model compute the loss of `labels` int64[B, T] from a few of the T places."""
        language = self.language_model
        language = language.get_base_model() if hasattr(language, "get_base_model") else language
        following = F.pad(labels[:, 1:], (0, 1), value=IGNORED)
        places = (following != IGNORED).any(dim=0).nonzero()[:, 0]
        if "logits_to_keep" not in signature(language.forward).parameters or not len(places):
            return {}
        return {"logits_to_keep": places, "shift_labels": following[:, places]}

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, **kwargs: Any) -> Any:
        """As in transformers: prompt and answer int64[B, T'], from `input_ids` and the inputs of `embed`.

        Images and samples are embedded once, before beams or several answers multiply the rows, and cannot get lost
        on the way to the cache. From there on it is the language model's own `generate`: a step costs what a step of
        it costs, and compiles as it does.
        """
        self.language_model.generation_config = self.generation_config  # the one that folders hold and users change
        input_ids = kwargs.pop("input_ids", inputs)
        if input_ids is None:
            return self.language_model.generate(**kwargs)
        features = {name: kwargs.pop(name) for name in FEATURE_INPUTS if name in kwargs}
        embeds = self.embed(input_ids, **features)
        result = self.language_model.generate(inputs_embeds=embeds, **kwargs)
        answers = result if isinstance(result, Tensor) else result.sequences
        prompts = input_ids.repeat_interleave(len(answers) // len(input_ids), dim=0).to(answers.device)
        whole = torch.cat([prompts, answers], dim=1)
        if isinstance(result, Tensor):
            return whole
        result.sequences = whole
        return result
