"""The CaMML model: a vision tower, a projector, the context perceiver and a language model."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutputWithPast

from camml.model import official
from camml.model.config import CamMLConfig
from camml.model.perceiver import ContextPerceiver
from camml.model.placement import fill_placeholders, spread
from camml.model.projector import build_projector

FEATURE_INPUTS = (
    "pixel_values",
    "sample_input_ids",
    "sample_attention_mask",
    "sample_pixel_values",
    "sample_image_mask",
    "context_embeds",
)
"""Everything the model takes that becomes embeddings at placeholders, and is not needed after that."""


class CamMLForConditionalGeneration(PreTrainedModel, GenerationMixin):
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

    def image_features(self, pixel_values: Tensor) -> Tensor:
        """float[N, Lv, D] for N images float[N, 3, H, W]: patches of the tower, projected."""
        layer = self.config.vision_feature_layer
        output = self.vision_tower(pixel_values.to(self.vision_tower.dtype), output_hidden_states=True)
        features = output.hidden_states[layer]
        if self.config.vision_feature_select == "patch":  # CLS and register tokens come first
            features = features[:, -self.config.patch_tokens :]
        return self.projector(features)

    def _features_where(self, pixel_values: Tensor | None, wanted: Tensor) -> Tensor | None:
        """float[N, Lv, D] of those images where `wanted` bool[B] is True; None where there is none.

        In training a blank image takes the way of the missing ones and is cut off again: its gradients are zeros, but
        every process uses the same modules in every step, which sharded and data-parallel training rely on.
        """
        if pixel_values is not None and wanted.any():
            return self.image_features(pixel_values[wanted])
        if not self.training:
            return None
        side = self.config.image_size
        blank = self.image_features(torch.zeros(1, 3, side, side, device=wanted.device))
        return blank[:0]

    def encode_samples(
        self,
        sample_input_ids: Tensor,
        sample_attention_mask: Tensor,
        sample_pixel_values: Tensor | None = None,
        sample_image_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What S samples are by themselves: float[S, Lv, P] from images, float[S, Lt, P] from texts.

        Args:
          sample_input_ids, sample_attention_mask: int64[S, Lt].
          sample_pixel_values: float[S, 3, H, W].  sample_image_mask: bool[S], False where a sample has no image.
        """
        texts = self.get_input_embeddings()(sample_input_ids)
        if sample_image_mask is None:
            present = sample_pixel_values is not None
            sample_image_mask = texts.new_full((len(texts),), float(present)).bool()
        # without any image one blank column stands for all
        length = self.config.patch_tokens if sample_pixel_values is not None or self.training else 1
        images = texts.new_zeros(len(texts), length, texts.shape[-1])
        features = self._features_where(sample_pixel_values, sample_image_mask)
        if features is not None:
            places = sample_image_mask.nonzero()[: len(features), 0]
            images = images.index_put((places,), features.to(images.dtype))
        return self.context_perceiver.encode_samples(images, sample_image_mask, texts, sample_attention_mask.bool())

    def embed_context(
        self,
        sample_input_ids: Tensor,
        sample_attention_mask: Tensor,
        sample_pixel_values: Tensor | None = None,
        sample_image_mask: Tensor | None = None,
    ) -> Tensor:
        """The context tokens float[B', 2 M, D] of the B' rows that have samples; all samples go in one batch.

        Args:
          sample_input_ids, sample_attention_mask: int64[B, N, L]; a sample of mask 0 throughout is padding.
          sample_pixel_values: float[B, N, 3, H, W].  sample_image_mask: bool[B, N].
        """
        words = sample_attention_mask.bool()
        real = words.any(dim=2)
        seen, read = self.encode_samples(
            sample_input_ids[real],
            sample_attention_mask[real],
            None if sample_pixel_values is None else sample_pixel_values[real],
            None if sample_image_mask is None else sample_image_mask[real],
        )
        pictures = real if sample_image_mask is None else real & sample_image_mask
        if sample_pixel_values is None:
            pictures = torch.zeros_like(real)
        rows = real.any(dim=1)
        tokens: Tensor = self.context_perceiver.compress(
            spread(seen, real)[rows],
            pictures[rows][..., None].expand(-1, -1, seen.shape[1]),
            spread(read, real)[rows],
            words[rows],
        )
        return tokens

    def embed(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        sample_input_ids: Tensor | None = None,
        sample_attention_mask: Tensor | None = None,
        sample_pixel_values: Tensor | None = None,
        sample_image_mask: Tensor | None = None,
        context_embeds: Tensor | None = None,
    ) -> Tensor:
        """float[B, T, D]: the words of `input_ids` int64[B, T], with context and image tokens at their placeholders.

        Args:
          pixel_values: float[B, 3, H, W]; rows without an image placeholder are not looked at.
          sample_*: as in `embed_context`.  context_embeds: its result, where that is at hand.

        Raises:
          ValueError: the number of placeholders does not fit the features.
        """
        context_id, image_id = self.config.context_token_id, self.config.image_token_id
        embeds = self.get_input_embeddings()(input_ids.masked_fill(input_ids >= context_id, 0))
        if context_embeds is None and sample_input_ids is not None and sample_attention_mask is not None:
            context_embeds = self.embed_context(
                sample_input_ids, sample_attention_mask, sample_pixel_values, sample_image_mask
            )
        elif context_embeds is None and self.training:  # as in `_features_where`
            word = torch.zeros_like(input_ids[:1, :1, None])
            context_embeds = self.embed_context(word, torch.ones_like(word))[:0]
        images = self._features_where(pixel_values, (input_ids == image_id).any(dim=1))
        none = embeds[:0]
        embeds = fill_placeholders(embeds, input_ids, context_id, none if context_embeds is None else context_embeds)
        return fill_placeholders(embeds, input_ids, image_id, none if images is None else images)

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
        output: CausalLMOutputWithPast = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            labels=labels,
            past_key_values=past_key_values,
            **kwargs,
        )
        return output

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, **kwargs: Any) -> Any:
        """As in transformers: prompt and answer int64[B, T'], from `input_ids` and the inputs of `embed`.

        Images and samples are embedded once, before beams or several answers multiply the rows, and cannot get lost
        on the way to the cache.
        """
        input_ids = kwargs.pop("input_ids", inputs)
        if input_ids is None:
            return super().generate(**kwargs)
        features = {name: kwargs.pop(name) for name in FEATURE_INPUTS if name in kwargs}
        embeds = self.embed(input_ids, **features)
        result = super().generate(inputs_embeds=embeds, **kwargs)
        answers = result if isinstance(result, Tensor) else result.sequences
        prompts = input_ids.repeat_interleave(len(answers) // len(input_ids), dim=0).to(answers.device)
        whole = torch.cat([prompts, answers], dim=1)
        if isinstance(result, Tensor):
            return whole
        result.sequences = whole
        return result
