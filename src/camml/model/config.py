"""The configuration of a CaMML model: two pretrained parts and the sizes of what lies between them."""

from typing import Any, Literal

from transformers import AutoConfig, PretrainedConfig
from transformers.models.auto import CONFIG_MAPPING

from camml.errors import OptionError


class CamMLConfig(PretrainedConfig):
    """Sizes and choices of `CamMLForConditionalGeneration`.

    Args:
      vision_config: configuration of the vision tower (CLIP, SigLIP, DINOv2, ...), or its dictionary.
      text_config: configuration of the language model (Llama, Qwen, ...), or its dictionary.
      image_size: side in pixels of the images the tower gets; None for the tower's own.
      vision_feature_layer: which hidden state of the tower is used; -2 is the last but one.
      vision_feature_select: `patch` leaves out CLS and register tokens, `all` keeps them.
      image_pooling: side of the squares of patches of the question's image whose mean is one image token; 1 for a token
        a patch. Samples keep all patches, which cost the language model nothing. More than 1 is ours.
      projector_type: `linear`, or `mlpNx_gelu` with N linear layers.
      perceiver_hidden_size: P, the width of the perceivers.
      perceiver_queries: M, learned queries of each kind; a context becomes 2 M tokens.
      perceiver_layers: layers of each perceiver; even ones have cross-attention.
      perceiver_heads: attention heads of every perceiver layer.
      perceiver_intermediate_size: width inside the perceivers' feed-forward layers.
      perceiver_dropout: probability, in training only.
      perceiver_positions: whether words know their place in a sample, and samples their place in the context. The
        published models have no such positions (`False`), so that a context is a set to them. `True` is ours.
      perceiver_run_on: whether the places of words run on from sample to sample, as those of one text, so that how many
        words are read of the next sample depends on how many the one before it has. Ours.
      sample_max_length: tokens a sample's text may have; the rest is cut off.

    Source: CaMML (ACL 2024), section 3; names of the official checkpoints in `camml.model.official`.
    """

    model_type = "camml"
    sub_configs = {"vision_config": AutoConfig, "text_config": AutoConfig}  # noqa: RUF012 (transformers' own form)

    vision_config: Any = None  # a PretrainedConfig once built
    text_config: Any = None
    image_size: Any = None  # an int once built
    vision_feature_layer: int = -2
    vision_feature_select: Literal["patch", "all"] = "patch"
    image_pooling: int = 1
    projector_type: str = "mlp2x_gelu"
    perceiver_hidden_size: int = 768
    perceiver_queries: int = 128
    perceiver_layers: int = 2
    perceiver_heads: int = 12
    perceiver_intermediate_size: int = 3072
    perceiver_dropout: float = 0.1
    perceiver_positions: bool = True
    perceiver_run_on: bool = False
    sample_max_length: int = 2048
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        self.vision_config = _vision_part(_built(self.vision_config, "clip_vision_model"))
        self.text_config = _built(self.text_config, "llama")
        self.image_size = self.image_size or self.vision_config.image_size
        if self.image_pooling < 1 or any(side % self.image_pooling for side in self.patch_grid):
            raise OptionError(f"image_pooling {self.image_pooling} does not divide the {self.patch_grid} patches")
        # transformers ties word embeddings only where the outermost configuration says so
        self.tie_word_embeddings = bool(self.text_config.tie_word_embeddings)
        if self.perceiver_hidden_size % self.perceiver_heads:
            raise OptionError(
                f"perceiver_hidden_size {self.perceiver_hidden_size} is not a multiple of "
                f"perceiver_heads {self.perceiver_heads}"
            )
        if self.perceiver_run_on and not self.perceiver_positions:
            raise OptionError("perceiver_run_on needs places that can run on: perceiver_positions")
        super().__post_init__(**kwargs)

    @property
    def patch_grid(self) -> tuple[int, int]:
        """How many patches are below and beside one another."""
        patch = self.vision_config.patch_size
        height, width = patch if isinstance(patch, list | tuple) else (patch, patch)
        return self.image_size // height, self.image_size // width

    @property
    def patch_tokens(self) -> int:
        """How many patches one image has."""
        rows, columns = self.patch_grid
        return rows * columns

    @property
    def image_tokens(self) -> int:
        """How many tokens the image of a question becomes."""
        return self.patch_tokens // self.image_pooling**2

    @property
    def context_tokens(self) -> int:
        """How many tokens a context becomes, whatever its number of samples."""
        return 2 * self.perceiver_queries

    @property
    def context_token_id(self) -> int:
        """Placeholder for one context token: just past the vocabulary, so a model can never say it."""
        return int(self.text_config.vocab_size)

    @property
    def image_token_id(self) -> int:
        """Placeholder for one image token: the second id past the vocabulary."""
        return self.context_token_id + 1


def _built(config: dict[str, Any] | PretrainedConfig | None, default: str) -> PretrainedConfig:
    if isinstance(config, PretrainedConfig):
        return config
    values = dict(config or {})
    return CONFIG_MAPPING[values.pop("model_type", default)](**values)


def _vision_part(config: PretrainedConfig) -> PretrainedConfig:
    """The image half of a dual encoder's configuration; any other configuration as it is."""
    return getattr(config, "vision_config", config)
