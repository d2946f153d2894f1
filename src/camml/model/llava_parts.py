"""A vision-language model out of a language model and a vision tower, with a projector between them, as LLaVA is.

transformers' own LLaVA takes the layers of a language model and puts a plain head on them, which is another model where
the head has a bias (Phi), soft-caps (Gemma 2) or scales (Cohere, Granite) its logits. Here the language model stays
whole. Projectors have any depth, and patches can be pooled.
"""

import inspect
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling, CausalLMOutputWithPast

from camml.errors import OptionError
from camml.model.config import built


class LlavaPartsConfig(PretrainedConfig):
    """Sizes and choices of `LlavaPartsForConditionalGeneration`.

    Args:
      vision_config: configuration of the vision tower (CLIP, SigLIP, DINOv2, ...), or its dictionary.
      text_config: configuration of the language model (Llama, Qwen, ...), or its dictionary.
      image_size: side in pixels of the images the tower gets; None for the tower's own.
      image_token_id: the placeholder of an image token; None for the second id past the vocabulary.
      vision_feature_layer: which hidden state of the tower is used; -2 is the last but one.
      vision_feature_select: `patch` leaves out CLS and register tokens, `all` keeps them.
      image_pooling: side of the squares of patches of a question's image whose mean is one image token; 1 for a token
        a patch. Samples keep all patches, which cost the language model nothing.
      projector_type: `linear`, or `mlpNx_gelu` with N linear layers.
    """

    model_type = "llava_parts"
    sub_configs = {"vision_config": AutoConfig, "text_config": AutoConfig}  # noqa: RUF012 (transformers' own form)

    vision_config: Any = None  # a PretrainedConfig once built
    text_config: Any = None
    image_size: Any = None  # an int once built
    image_token_id: Any = None
    vision_feature_layer: int = -2
    vision_feature_select: Literal["patch", "all"] = "patch"
    image_pooling: int = 1
    projector_type: str = "mlp2x_gelu"
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        vision = built(self.vision_config, "clip_vision_model")
        self.vision_config = getattr(vision, "vision_config", vision)  # the image half of a dual encoder
        self.text_config = built(self.text_config, "llama")
        self.image_size = self.image_size or self.vision_config.image_size
        if self.image_token_id is None:  # the first is the context's
            self.image_token_id = int(self.text_config.vocab_size) + 1
        if self.vision_feature_select not in ("patch", "all"):
            raise OptionError(f"no vision_feature_select {self.vision_feature_select!r}; there are: patch, all")
        if self.image_pooling > 1 and self.first_features:
            raise OptionError(f"image_pooling {self.image_pooling} takes patches alone: vision_feature_select patch")
        if self.image_pooling < 1 or any(side % self.image_pooling for side in self.patch_grid):
            raise OptionError(f"image_pooling {self.image_pooling} does not divide the {self.patch_grid} patches")
        self.tie_word_embeddings = bool(self.text_config.tie_word_embeddings)
        super().__post_init__(**kwargs)

    @property
    def patch_grid(self) -> tuple[int, int]:
        """The numbers of patches below and beside one another."""
        patch = self.vision_config.patch_size
        height, width = patch if isinstance(patch, list | tuple) else (patch, patch)
        return self.image_size // height, self.image_size // width

    @property
    def first_features(self) -> int:
        """The number of features before those of patches that are used: CLS and register tokens."""
        if self.vision_feature_select == "patch" or "siglip" in self.vision_config.model_type:
            return 0
        return 1 + int(getattr(self.vision_config, "num_register_tokens", 0))

    @property
    def patch_tokens(self) -> int:
        """The number of features of one image: one a patch, and those before them that are used."""
        rows, columns = self.patch_grid
        return rows * columns + self.first_features

    @property
    def image_tokens(self) -> int:
        """The number of tokens that the image of a question becomes."""
        return self.patch_tokens // self.image_pooling**2


class LlavaPartsForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A language model that reads the patches of an image, projected to the width of its words.

    Args:
      config: sizes and choices.
      vision_tower, language_model: parts already built and loaded; without them, parts with random weights.
    """

    config: LlavaPartsConfig
    config_class = LlavaPartsConfig
    base_model_prefix = "language_model"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _skip_keys_device_placement: ClassVar[list[str]] = ["past_key_values"]

    def __init__(
        self,
        config: LlavaPartsConfig,
        vision_tower: PreTrainedModel | None = None,
        language_model: PreTrainedModel | None = None,
    ) -> None:
        super().__init__(config)
        vision, text = config.vision_config, config.text_config
        self.vision_tower = AutoModel.from_config(vision) if vision_tower is None else vision_tower
        self.projector = build_projector(config.projector_type, vision.hidden_size, text.hidden_size)
        self.language_model = AutoModelForCausalLM.from_config(text) if language_model is None else language_model
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """Return the head of the language model."""
        return self.language_model.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the head of the language model."""
        self.language_model.set_output_embeddings(new_embeddings)

    def tower_features(self, pixel_values: Tensor) -> Tensor:
        """Return float[N, Lv, W] for N images float[N, 3, H, W]: their patches, W the width of the tower.

        A tower gets images of another side than it was trained for with its positions interpolated.
        """
        config, tower = self.config, self.vision_tower
        options = {"output_hidden_states": True}
        asked = "interpolate_pos_encoding"  # of towers that have no such switch some always interpolate
        if (
            config.image_size != config.vision_config.image_size
            and asked in inspect.signature(tower.forward).parameters
        ):
            options[asked] = True
        output = tower(pixel_values.to(tower.dtype), **options)
        features: Tensor = output.hidden_states[config.vision_feature_layer]
        if config.vision_feature_select == "patch":  # CLS and register tokens come first
            features = features[:, -config.patch_tokens :]
        return features

    def project(self, features: Tensor) -> Tensor:
        """Return float[N, Lv, D] for what `tower_features` gives, kept in whatever precision."""
        projected: Tensor = self.projector(features.to(self.vision_tower.dtype))
        return projected

    def patches(self, pixel_values: Tensor | None, features: Tensor | None = None) -> Tensor:
        """Return float[N, Lv, D]: the projected patches of N images float[N, 3, H, W].

        Args:
          features: float[N, Lv, W], what `tower_features` gave for them, instead of `pixel_values`.
        """
        if features is None:
            assert pixel_values is not None, "give pixel_values or features"
            features = self.tower_features(pixel_values)
        return self.project(features)

    def blank_patches(self, features: Tensor | None = None) -> Tensor:
        """Return float[1, Lv, D] of an image that is not there.

        In training it takes the way of missing images and is cut off again: its gradients are zeros, but every process
        uses the same modules in every step, which sharded and data-parallel training rely on.

        Args:
          features: those of other images, where the run keeps features and its tower need not run.
        """
        side = self.config.image_size
        blank = torch.zeros(1, 3, side, side, device=self.device) if features is None else None
        return self.patches(blank, None if features is None else features[:1])

    def get_image_features(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Return an output whose `pooler_output` is float[N, L, D]: the image tokens of N images."""
        return BaseModelOutputWithPooling(pooler_output=self.pool(self.patches(pixel_values)))

    def pool(self, images: Tensor) -> Tensor:
        """Return float[N, L, D]: means over squares of patches, for float[N, Lv, D]."""
        side = self.config.image_pooling
        if side == 1:
            return images
        rows, columns = self.config.patch_grid
        squares = images.unflatten(1, (rows // side, side, columns // side, side))
        return squares.mean(dim=(2, 4)).flatten(1, 2)

    def embed(
        self, input_ids: Tensor, pixel_values: Tensor | None = None, image_features: Tensor | None = None
    ) -> Tensor:
        """Return float[B, T, D]: the words of `input_ids` int64[B, T], with image tokens at their placeholders.

        Args:
          pixel_values: float[N, 3, H, W] of the N images in all rows, in reading order.
          image_features: float[N, Lv, W], what `tower_features` gave for them, instead of `pixel_values`.

        Raises:
          ValueError: the number of placeholders does not fit the images.
        """
        image_id = self.config.image_token_id
        places = input_ids == image_id
        embeds = self.get_input_embeddings()(input_ids.masked_fill(places, 0))
        images = embeds[:0]
        if places.any() and (pixel_values is not None or image_features is not None):
            images = self.pool(self.patches(pixel_values, image_features))
        elif self.training:
            images = self.blank_patches(image_features)[:0]
        return fill_places(embeds, places, image_id, images)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_features: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Return what the language model gives: `logits` float[B, T, V], and `loss` where there are `labels`.

        Args:
          input_ids: int64[B, T] with placeholders; after the first step the new tokens only.
          attention_mask: int64[B, T], 0 on padding.  inputs_embeds: float[B, T, D] instead of `input_ids`.
          kwargs: everything else goes to the language model.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if input_ids is not None:
            later = past_key_values is not None and past_key_values.get_seq_length() > 0
            inputs_embeds = self.embed(input_ids, *((None, None) if later else (pixel_values, image_features)))
            if attention_mask is not None and not later and kwargs.get("position_ids") is None:
                kwargs["position_ids"] = (attention_mask.long().cumsum(dim=1) - 1).clamp_min(0)
        output: CausalLMOutputWithPast = self.language_model(
            inputs_embeds=inputs_embeds, attention_mask=attention_mask, past_key_values=past_key_values, **kwargs
        )
        return output

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, **kwargs: Any) -> Any:
        """Return prompt and answer int64[B, T'], as in transformers.

        Images are embedded once, before beams or several answers multiply the rows. From there on it is the language
        model's own `generate`: a step costs what a step of it costs, and compiles as it does.
        """
        self.language_model.generation_config = self.generation_config  # the one that folders hold and users change
        input_ids = kwargs.pop("input_ids", inputs)
        if input_ids is None:
            return self.language_model.generate(**kwargs)
        images = (kwargs.pop("pixel_values", None), kwargs.pop("image_features", None))
        result = self.language_model.generate(inputs_embeds=self.embed(input_ids, *images), **kwargs)
        answers = result if isinstance(result, Tensor) else result.sequences
        prompts = input_ids.repeat_interleave(len(answers) // len(input_ids), dim=0).to(answers.device)
        whole = torch.cat([prompts, answers], dim=1)
        if isinstance(result, Tensor):
            return whole
        result.sequences = whole
        return result


def build_projector(kind: str, vision_width: int, text_width: int) -> nn.Module:
    """Return a map from a vision tower's features to a language model's embeddings.

    Raises:
      OptionError: `kind` is neither `linear` nor `mlpNx_gelu`.
    """
    depth = kind.removeprefix("mlp").removesuffix("x_gelu")
    if kind == "linear":
        return nn.Linear(vision_width, text_width)
    if kind != f"mlp{depth}x_gelu" or not depth.isdigit() or int(depth) < 1:
        raise OptionError(f"no projector type {kind!r}; there are: linear, mlpNx_gelu with N = 1, 2, ...")
    layers: list[nn.Module] = [nn.Linear(vision_width, text_width)]
    for _ in range(int(depth) - 1):
        layers += [nn.GELU(), nn.Linear(text_width, text_width)]
    return nn.Sequential(*layers)


def fill_places(embeds: Tensor, places: Tensor, token_id: int, features: Tensor) -> Tensor:
    """Return `embeds` with `features` written over the placeholders, in reading order.

    Args:
      embeds: float[B, T, D].  places: bool[B, T], where `token_id` stands.
      features: float[N, L, D]; the batch holds N * L placeholders in all.

    Raises:
      ValueError: the batch holds another number of placeholders.
    """
    wanted, given = int(places.sum()), features.shape[0] * features.shape[1]
    if wanted != given:
        raise ValueError(f"{wanted} placeholders with token id {token_id}, but features for {given}")
    return embeds.masked_scatter(places[..., None], features.to(embeds))
