"""What the model does before its language model: images and samples to embeddings at their placeholders."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from camml.model.config import CamMLConfig
from camml.model.perceiver import ContextPerceiver
from camml.model.placement import fill_placeholders, spread
from camml.model.tower import patch_features

FEATURE_INPUTS = (
    "pixel_values",
    "image_features",
    "sample_input_ids",
    "sample_attention_mask",
    "sample_pixel_values",
    "sample_image_features",
    "sample_image_mask",
    "context_embeds",
)
"""Everything the model takes that becomes embeddings at placeholders, and is not needed after that."""


class InputEmbedding:
    """The half of `CamMLForConditionalGeneration` that turns its inputs into embeddings."""

    config: CamMLConfig
    training: bool
    vision_tower: PreTrainedModel
    projector: nn.Module
    context_perceiver: ContextPerceiver
    get_input_embeddings: Callable[[], nn.Module]

    def tower_features(self, pixel_values: Tensor) -> Tensor:
        """float[N, Lv, W] for N images float[N, 3, H, W]: their patches, W the width of the tower."""
        return patch_features(self.vision_tower, self.config, pixel_values)

    def project(self, features: Tensor) -> Tensor:
        """float[N, Lv, D] for what `tower_features` gives, kept in whatever precision."""
        projected: Tensor = self.projector(features.to(self.vision_tower.dtype))
        return projected

    def embed_images(self, pixel_values: Tensor) -> Tensor:
        """float[N, Lv, D] for N images float[N, 3, H, W]: patches of the tower, projected."""
        return self.project(self.tower_features(pixel_values))

    def _embed_where(self, pixel_values: Tensor | None, features: Tensor | None, wanted: Tensor) -> Tensor | None:
        """float[N, Lv, D] of those images where `wanted` bool[B] is True; None where there is none.

        The tower runs only where no `features` float[B, Lv, W] are given. In training a blank takes the way of the
        missing images and is cut off again: its gradients are zeros, but every process uses the same modules in every
        step, which sharded and data-parallel training rely on.
        """
        found = pixel_values if features is None else features
        embed = self.embed_images if features is None else self.project
        if found is not None and wanted.any():
            return embed(found[wanted])
        if not self.training:
            return None
        side = self.config.image_size
        blank = torch.zeros(1, 3, side, side, device=wanted.device) if features is None else features[:1]
        return embed(blank)[:0]

    def encode_samples(
        self,
        sample_input_ids: Tensor,
        sample_attention_mask: Tensor,
        sample_pixel_values: Tensor | None = None,
        sample_image_mask: Tensor | None = None,
        sample_image_features: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What S samples are by themselves: float[S, Lv, P] from images, float[S, Lt, P] from texts.

        Args:
          sample_input_ids, sample_attention_mask: int64[S, Lt].
          sample_pixel_values: float[S, 3, H, W].  sample_image_mask: bool[S], False where a sample has no image.
          sample_image_features: float[S, Lv, W] of the tower, instead of `sample_pixel_values`.
        """
        texts = self.get_input_embeddings()(sample_input_ids)
        present = sample_pixel_values is not None or sample_image_features is not None
        if sample_image_mask is None:
            sample_image_mask = texts.new_full((len(texts),), float(present)).bool()
        # without any image one blank column stands for all
        length = self.config.patch_tokens if present or self.training else 1
        images = texts.new_zeros(len(texts), length, texts.shape[-1])
        features = self._embed_where(sample_pixel_values, sample_image_features, sample_image_mask)
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
        sample_image_features: Tensor | None = None,
    ) -> Tensor:
        """The context tokens float[B', 2 M, D] of the B' rows that have samples; all samples go in one batch.

        Args:
          sample_input_ids, sample_attention_mask: int64[B, N, L]; a sample of mask 0 throughout is padding.
          sample_pixel_values: float[B, N, 3, H, W].  sample_image_mask: bool[B, N].
          sample_image_features: float[B, N, Lv, W] of the tower, instead of `sample_pixel_values`.
        """
        words = sample_attention_mask.bool()
        real = words.any(dim=2)
        seen, read = self.encode_samples(
            sample_input_ids[real],
            sample_attention_mask[real],
            None if sample_pixel_values is None else sample_pixel_values[real],
            None if sample_image_mask is None else sample_image_mask[real],
            None if sample_image_features is None else sample_image_features[real],
        )
        pictures = real if sample_image_mask is None else real & sample_image_mask
        if sample_pixel_values is None and sample_image_features is None:
            pictures = torch.zeros_like(real)
        rows = real.any(dim=1)
        tokens: Tensor = self.context_perceiver.compress(
            spread(seen, real)[rows],
            pictures[rows][..., None].expand(-1, -1, seen.shape[1]),
            spread(read, real)[rows],
            words[rows],
        )
        return tokens

    def _embed_blank_context(self, input_ids: Tensor, image_features: Tensor | None) -> Tensor:
        """float[0, 2 M, D]: for a training step without samples; as in `_embed_where`."""
        word = torch.zeros_like(input_ids[:1, :1, None])
        blank = None if image_features is None else image_features[:1, None]
        absent = torch.zeros_like(word[..., 0], dtype=torch.bool)
        tokens = self.embed_context(word, torch.ones_like(word), None, absent, blank)
        return tokens[:0]

    def embed(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        image_features: Tensor | None = None,
        context_embeds: Tensor | None = None,
        **samples: Any,
    ) -> Tensor:
        """float[B, T, D]: the words of `input_ids` int64[B, T], with context and image tokens at their placeholders.

        Args:
          pixel_values: float[B, 3, H, W]; rows without an image placeholder are not looked at.
          image_features: float[B, Lv, W], what `tower_features` gave for them, instead of `pixel_values`; in training
            the samples have theirs in every step in which there are these.
          samples: the arguments of `embed_context`.  context_embeds: its result, where that is at hand.

        Raises:
          ValueError: the number of placeholders does not fit the features.
        """
        context_id, image_id = self.config.context_token_id, self.config.image_token_id
        embeds = self.get_input_embeddings()(input_ids.masked_fill(input_ids >= context_id, 0))
        if context_embeds is None and samples.get("sample_input_ids") is not None:
            context_embeds = self.embed_context(**samples)
        elif context_embeds is None and self.training:
            context_embeds = self._embed_blank_context(input_ids, image_features)
        images = self._embed_where(pixel_values, image_features, (input_ids == image_id).any(dim=1))
        none = embeds[:0]
        embeds = fill_placeholders(embeds, input_ids, context_id, none if context_embeds is None else context_embeds)
        return fill_placeholders(embeds, input_ids, image_id, none if images is None else self._pool(images))

    def _pool(self, images: Tensor) -> Tensor:
        """float[N, L, D]: means over squares of patches, for float[N, Lv, D]."""
        side = self.config.image_pooling
        if side == 1:
            return images
        rows, columns = self.config.patch_grid
        squares = images.unflatten(1, (rows // side, side, columns // side, side))
        return squares.mean(dim=(2, 4)).flatten(1, 2)
