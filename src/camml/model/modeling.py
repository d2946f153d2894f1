"""The CaMML model: a vision-language model, and perceivers that compress samples to context tokens for it.

    samples ─ images: the model's own tower ─┐
            ─ texts: its word embeddings ────┴─ perceivers ─ 2 M context tokens
    prompt with placeholders ─ word embedding, context tokens written over the placeholders ─ the model as it is

This file is the way from samples and a prompt to logits, top to bottom: the perceivers' two steps, the model, whose
methods follow one another as they are called; placeholders.py writes over the placeholders. Everything else (images of
the question, positions, cache, `generate`) is the vision-language model's own business.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForImageTextToText, GenerationMixin, PreTrainedModel

from camml.errors import OptionError
from camml.model import card
from camml.model.config import CamMLConfig
from camml.model.language import read_embeddings
from camml.model.llava_parts import LlavaPartsForConditionalGeneration
from camml.model.perceiver import (
    Perceiver,
    carrying,
    places_in_context,
    places_of_texts,
    sinusoids,
    turned,
    word_waves,
)
from camml.model.placeholders import delivering, watch
from camml.model.pretrained import CamMLPreTrainedModel

IGNORED = -100
"""The label of a token that is not learned. Source: `ignore_index` of PyTorch's cross-entropy."""

SAMPLE = "sample_"
"""How the names of inputs begin that are about samples; `CamMLProcessor` gives them."""


class ContextPerceiver(nn.Module):
    """Samples to context tokens, in two steps: each sample on its own, then all samples of a question together.

    The first step does not depend on the question, so its result can be kept.

    Source: CaMML (ACL 2024), section 3.2.
    """

    def __init__(self, config: CamMLConfig) -> None:
        super().__init__()
        width, text_width = config.perceiver_hidden_size, config.hidden_size
        self.image_in = nn.Linear(text_width, width)
        self.text_in = nn.Linear(text_width, width)
        self.vision_perceiver = Perceiver(config)
        self.language_perceiver = Perceiver(config)
        self.context_perceiver = Perceiver(config)
        self.vision_queries = nn.Parameter(torch.zeros(1, config.perceiver_queries, width))
        self.text_queries = nn.Parameter(torch.zeros(1, config.perceiver_queries, width))
        self.vision_out = nn.Linear(width, text_width)
        self.text_out = nn.Linear(width, text_width)
        # how loudly positions speak; learned, since the width and scale of the embeddings differ from model to model
        self.word_position = nn.Parameter(torch.zeros(width)) if config.perceiver_positions else None
        self.sample_position = nn.Parameter(torch.zeros(width)) if config.perceiver_positions else None
        self.run_on, self.heads = config.perceiver_run_on, config.perceiver_heads
        self.seamless = config.perceiver_seamless
        if self.run_on and not len(word_waves(width, self.heads)):
            raise OptionError(
                f"perceiver_run_on needs perceivers wide enough to move places: perceiver_hidden_size is {width}, with "
                f"{self.heads} heads"
            )

    def forward(self, step: Literal["encode", "compress"], *inputs: Tensor) -> Any:
        """Return what one of the two steps below gives.

        Both are calls of this module, so that what others put before and after such calls is done for its own
        parameters too: weights that wait on a disk are fetched, those of sharded training are gathered.
        """
        return getattr(self, step)(*inputs)

    def encode(
        self, image_features: Tensor, image_mask: Tensor, text_embeds: Tensor, text_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what each sample is by itself: float[S, Lv, P] from its image, float[S, Lt, P] from its text.

        Args:
          image_features: float[S, Lv, D].  image_mask: bool[S, Lv], False on padding, and where there is no image.
          text_embeds: float[S, Lt, D].  text_mask: bool[S, Lt], False on padding.
        """
        images, texts = self.image_in(image_features), self.text_in(text_embeds)
        if self.word_position is not None:
            images, texts = (self._placed(states, self.word_position) for states in (images, texts))
        seen = self.vision_perceiver(images, texts, image_mask, text_mask)
        read = self.language_perceiver(texts, images, text_mask, image_mask)
        return seen, read

    @staticmethod
    def _placed(states: Tensor, gain: Tensor) -> Tensor:
        """Return `states` float[S, L, P] that know their place in the sample."""
        places = torch.arange(states.shape[1], device=states.device)
        return states + gain * sinusoids(places, states.shape[2]).to(states.dtype)

    def compress(self, seen: Tensor, seen_mask: Tensor, read: Tensor, read_mask: Tensor) -> Tensor:
        """Return the context tokens float[B, 2 M, D] of rows of samples: M from their images, then M from their texts.

        Args:
          seen: float[B, N, Lv, P].  seen_mask: bool[B, N, Lv].  read: float[B, N, Lt, P].  read_mask: bool[B, N, Lt].
        """
        if self.sample_position is not None:
            ranks = torch.arange(seen.shape[1], device=seen.device)
            places = (self.sample_position * sinusoids(ranks, seen.shape[3]).to(seen.dtype))[:, None, :]
            seen, read = seen + places, read + places
        if self.seamless:
            places = places_in_context(read_mask)
            seen, read = turned(seen, places, self.heads), turned(read, places, self.heads)
            seen_mask = seen_mask & carrying(read_mask, seen.shape[2])
        elif self.run_on:
            read = turned(read, places_of_texts(seen_mask, read_mask, self.text_queries.shape[1]), self.heads)
        rows = len(seen)
        vision = self.context_perceiver(
            self.vision_queries.expand(rows, -1, -1), seen.flatten(1, 2), None, seen_mask.flatten(1)
        )
        text = self.context_perceiver(
            self.text_queries.expand(rows, -1, -1), read.flatten(1, 2), None, read_mask.flatten(1)
        )
        return torch.cat([self.vision_out(vision), self.text_out(text)], dim=1)


class CamMLForConditionalGeneration(CamMLPreTrainedModel, GenerationMixin):
    """A vision-language model that reads samples, compressed to a fixed number of context tokens.

    Inputs are what `CamMLProcessor` gives: those of the vision-language model, with a placeholder in `input_ids` for
    each context token that is read, and the samples' own under names that begin with `sample_`. Without samples the
    result is that of the vision-language model, bit for bit.

    Args:
      config: sizes and choices.
      vlm: a vision-language model that is loaded already; without it, one with random weights.

    Example:
      >>> from transformers import AutoModelForImageTextToText
      >>> vlm = AutoModelForImageTextToText.from_pretrained("models/vlm")
      >>> model = CamMLForConditionalGeneration(CamMLConfig(vlm_config=vlm.config, perceiver_queries=36), vlm)
      >>> model.vlm is vlm
      True
    """

    def __init__(self, config: CamMLConfig, vlm: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        if vlm is not None:
            config.vlm_config = vlm.config  # what changes there, changes here
            config.base_models = config.base_models or card.names_of(vlm)
        self.vlm = AutoModelForImageTextToText.from_config(config.vlm_config) if vlm is None else vlm
        self.context_perceiver = ContextPerceiver(config)
        self._watching: list[Any] = []
        self._watch()
        self.post_init()
        self.generation_config = self.vlm.generation_config

    # ---- samples to context tokens ------------------------------------------------------------------------------

    def sample_images(self, inputs: Mapping[str, Tensor], counts: Sequence[int]) -> list[Tensor]:
        """Return what each of S images is to the language model: S tensors float[Lv, D], Lv may differ.

        Args:
          inputs: what the image processor gave for the S images; `image_features` in place of the pixels where the
            features of a `LlavaPartsForConditionalGeneration`'s tower are kept.
          counts: how many image tokens each has.

        Raises:
          OptionError: the model has no `get_image_features`.
          ValueError: the model gives another number of features.
        """
        if isinstance(self.vlm, LlavaPartsForConditionalGeneration):  # all its patches, pooled or not
            return list(self.vlm.patches(inputs.get("pixel_values"), inputs.get("image_features")))
        seeing = self.vlm if hasattr(self.vlm, "get_image_features") else self.vlm.base_model
        if not hasattr(seeing, "get_image_features"):
            kind = self.config.vlm_config.model_type
            raise OptionError(f"a {kind!r} model has no get_image_features, so samples cannot have images with it")
        output = seeing.get_image_features(**inputs, return_dict=True)
        features = getattr(output, "pooler_output", output)
        parts = [features] if isinstance(features, Tensor) else list(features)
        flat = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
        if len(flat) != sum(counts):
            raise ValueError(f"{sum(counts)} image tokens of samples, but features for {len(flat)}")
        return list(flat.split(list(counts)))

    def encode_samples(
        self, input_ids: Tensor, attention_mask: Tensor, image_counts: Tensor | None = None, **images: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what S samples are by themselves, which does not depend on the question and so can be kept.

        Args:
          input_ids, attention_mask: int64[S, Lt] of their texts.
          image_counts: int64[S], how many image tokens each sample's image has; 0 where it has none.
          images: what the image processor gave for the images there are, one after the other; see `sample_images`.

        Returns:
          float[S, Lv, P] from images, bool[S, Lv] that is False where there is none, float[S, Lt, P] from texts.
        """
        texts = self.get_input_embeddings()(input_ids)
        counts = [0] * len(texts) if image_counts is None or not images else image_counts.tolist()
        blank = texts.new_zeros(self.config.blank_patches, texts.shape[-1])
        if any(counts):
            features = iter(self.sample_images(images, [count for count in counts if count]))
            parts = [next(features).to(texts) if count else blank for count in counts]
            seen = pad_sequence(parts, batch_first=True)
            mask = pad_sequence([part.new_ones(len(part), dtype=torch.bool) for part in parts], batch_first=True)
        else:  # one blank column at least stands for all; in training it comes the way that images come
            seen = texts.new_zeros(len(texts), max(1, len(blank)), texts.shape[-1])
            mask = torch.full(seen.shape[:2], len(blank) > 0, device=seen.device)
            if self.training and isinstance(self.vlm, LlavaPartsForConditionalGeneration):
                seen = seen + 0.0 * self.vlm.blank_patches(images.get("image_features")).sum()
        seen, read = self.context_perceiver("encode", seen, mask, texts, attention_mask.bool())
        return seen, mask, read

    def embed_context(
        self, input_ids: Tensor, attention_mask: Tensor, image_counts: Tensor | None = None, **images: Any
    ) -> Tensor:
        """Return the context tokens float[B', 2 M, D] of the B' rows that have samples; all samples go in one batch.

        Args:
          input_ids, attention_mask: int64[B, N, L]; a sample of mask 0 throughout is padding.
          image_counts: int64[B, N], 0 where a sample has no image.
          images: what the image processor gave for the images there are, row by row; see `encode_samples`.
        """
        words = attention_mask.bool()
        real = words.any(dim=2)
        counts = None if image_counts is None else image_counts[real]
        encoded = self.encode_samples(input_ids[real], attention_mask[real], counts, **images)
        rows, places = real.any(dim=1), tuple(real.nonzero().T)
        # float[S, ...] to float[B', N, ...], zeros where a row has fewer samples
        seen, mask, read = (
            part.new_zeros(*real.shape, *part.shape[1:]).index_put(places, part)[rows] for part in encoded
        )
        tokens: Tensor = self.context_perceiver("compress", seen, mask, read, words[rows])
        return tokens

    def _context(self, input_ids: Tensor, inputs: dict[str, Any]) -> Tensor | None:
        """Take what is about samples out of `inputs`, and return the context tokens float[B', 2 M, D].

        Raises:
          ValueError: there are placeholders but no samples, or samples but no placeholders.
        """
        context: Tensor | None = inputs.pop("context_embeds", None)
        samples = {name.removeprefix(SAMPLE): inputs.pop(name) for name in list(inputs) if name.startswith(SAMPLE)}
        if context is None and samples.get("input_ids") is not None:
            context = self.embed_context(**samples)
        places = int((input_ids == self.config.context_token_id).sum())
        if (context is None or not len(context)) and places:
            raise ValueError(f"{places} placeholders of context tokens, but no samples")
        return context if context is not None and len(context) else None

    @contextmanager
    def _delivering(self, context: Tensor | None, input_ids: Tensor | None) -> Iterator[None]:
        """Have `context` written over the placeholders of the next batch that the word embedding embeds.

        Raises:
          ValueError: the batch holds another number of placeholders, or nothing was embedded at all.
        """
        if context is None or input_ids is None:
            yield
            return
        words = self.get_input_embeddings()
        with delivering(words, context, len(input_ids), self.config.perceiver_seamless):
            yield

    def _watch(self) -> None:
        """Let the word embedding look out for placeholders."""
        for handle in self._watching:
            handle.remove()
        self._watching = watch(self.get_input_embeddings(), self.config.context_token_id)

    # ---- the vision-language model, with them -------------------------------------------------------------------

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Return what the vision-language model returns: `logits` float[B, T, V], and `loss` where there are labels.

        In training the logits are those of the places where something is to be learned alone: a head with a large
        vocabulary costs as much as layers, and most of a row is context and question.

        Args:
          input_ids: int64[B, T] with placeholders; after the first step the new tokens only.
          attention_mask: int64[B, T], 0 on padding.
          labels: int64[B, T], -100 where nothing is to be learned; next-token cross-entropy.
          kwargs: `sample_*` as in `embed_context`, or `context_embeds`, its result; everything else goes to the
            vision-language model.

        Raises:
          ValueError: the number of placeholders does not fit the samples.
        """
        later = past_key_values is not None and past_key_values.get_seq_length() > 0
        context, extra = None, None
        if input_ids is not None and not later:
            context = self._context(input_ids, kwargs)
            if context is None and self.training:
                word = torch.zeros_like(input_ids[:1, :1, None])  # a blank sample; see `LlavaParts….blank_patches`
                extra = self.embed_context(word, torch.ones_like(word), image_features=kwargs.get("image_features"))
        options = {"attention_mask": attention_mask, "past_key_values": past_key_values, **kwargs}
        options |= {"input_ids": input_ids} if input_ids is not None else {}
        with self._delivering(context, input_ids):
            if labels is None or not self.training:
                return self.vlm(**options, **({} if labels is None else {"labels": labels}))
            output = self._learning(options, labels)
        if extra is not None:
            output.loss = output.loss + 0.0 * extra.sum()
        return output

    def _learning(self, options: dict[str, Any], labels: Tensor) -> Any:
        """Return the output for `labels` int64[B, T], with logits of only those places that are learned."""
        items = options.pop("num_items_in_batch", None)
        following = F.pad(labels[:, 1:], (0, 1), value=IGNORED)
        places = (following != IGNORED).any(dim=0).nonzero()[:, 0]
        reader = self.vlm.language_model if isinstance(self.vlm, LlavaPartsForConditionalGeneration) else self.vlm
        if "logits_to_keep" in signature(type(reader).forward).parameters and len(places):
            options["logits_to_keep"], following = places, following[:, places]
        output = self.vlm(**options)
        scores = output.logits.float().flatten(0, 1)
        how, wanted = "mean" if items is None else "sum", following.flatten().to(scores.device)
        total = F.cross_entropy(scores, wanted, ignore_index=IGNORED, reduction=how)
        output.loss = total if items is None else total / items
        return output

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, **kwargs: Any) -> Any:
        """Return prompt and answer int64[B, T'], as in transformers, from `input_ids` and the inputs of `forward`.

        Samples are compressed once; from there on it is the vision-language model's own `generate`.
        """
        self.vlm.generation_config = self.generation_config  # the one that folders hold and users change
        input_ids = kwargs.pop("input_ids", inputs)
        if input_ids is None:
            return self.vlm.generate(**kwargs)
        context = self._context(input_ids, kwargs)
        self._leave_placeholders_out(input_ids, kwargs)
        with self._delivering(context, input_ids):
            return self.vlm.generate(input_ids=input_ids, **kwargs)

    def embed(self, input_ids: Tensor, attention_mask: Tensor | None = None, **inputs: Any) -> Tensor:
        """Return float[B, T, D]: the prompt as the language model reads it, with image and context tokens.

        For engines that run the language model by themselves; arguments are those of `forward`.

        Raises:
          OptionError: the vision-language model is of a kind whose language model reads more than embeddings.
        """
        with self._delivering(self._context(input_ids, inputs), input_ids):
            if isinstance(self.vlm, LlavaPartsForConditionalGeneration):
                return self.vlm.embed(input_ids, **inputs)
            return read_embeddings(self.vlm, {"input_ids": input_ids, "attention_mask": attention_mask, **inputs})
