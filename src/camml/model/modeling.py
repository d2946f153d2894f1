"""The CaMML model: a vision-language model, and perceivers that compress samples to context tokens for it.

    samples ─ images: the model's own tower ─┐
            ─ texts: its word embeddings ────┴─ perceivers ─ 2 M context tokens
    prompt with 2 M placeholders ─ word embedding, context tokens written over the placeholders ─ the model as it is

Everything else (images of the question, positions, cache, `generate`) is the vision-language model's own business. The
class reads in that order; the perceivers themselves are in `perceiver`, the writing over placeholders in `placement`.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForImageTextToText, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.generation.logits_process import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

from camml.errors import OptionError
from camml.model import card, official
from camml.model.config import CamMLConfig
from camml.model.language import language_part, read_embeddings
from camml.model.llava_parts import LlavaPartsForConditionalGeneration
from camml.model.perceiver import ContextPerceiver
from camml.model.placement import delivered, spread, watch

IGNORED = -100
"""The label of a token that is not learned. Source: `ignore_index` of PyTorch's cross-entropy."""

SAMPLE = "sample_"
"""How the names of inputs begin that are about samples; `CamMLProcessor` gives them."""


class CamMLForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A vision-language model that reads samples, compressed to a fixed number of context tokens.

    Inputs are what `CamMLProcessor` gives: those of the vision-language model, with a placeholder in `input_ids` for
    each context token, and the samples' own under names that begin with `sample_`. Without samples the result is that
    of the vision-language model, bit for bit.

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

    config: CamMLConfig
    config_class = CamMLConfig
    base_model_prefix = "vlm"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _no_split_modules: ClassVar[list[str]] = ["PerceiverLayer"]
    _skip_keys_device_placement: ClassVar[list[str]] = ["past_key_values"]

    def __init__(self, config: CamMLConfig, vlm: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        if vlm is not None:
            config.vlm_config = vlm.config  # what changes there, changes here
            config.base_models = config.base_models or _names_of(vlm)
        self.vlm = AutoModelForImageTextToText.from_config(config.vlm_config) if vlm is None else vlm
        self.context_perceiver = ContextPerceiver(config)
        self._watching: list[Any] = []
        self._watch()
        self.post_init()
        self.generation_config = self.vlm.generation_config

    # ---- samples to context tokens ------------------------------------------------------------------------------

    def sample_images(self, inputs: Mapping[str, Tensor], counts: Tensor) -> list[Tensor]:
        """Return what each of S images is to the language model: S tensors float[Lv, D], Lv may differ.

        Args:
          inputs: what the image processor gave for the S images; `image_features` in place of the pixels where the
            features of a `LlavaPartsForConditionalGeneration`'s tower are kept.
          counts: int64[S], how many image tokens each has.

        Raises:
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
        if len(flat) != int(counts.sum()):
            raise ValueError(f"{int(counts.sum())} image tokens of samples, but features for {len(flat)}")
        return list(flat.split(counts.tolist()))

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
        blank = None
        if image_counts is None or not images:
            image_counts = input_ids.new_zeros(len(input_ids))
        if bool((image_counts > 0).any()):
            features = self.sample_images(images, image_counts[image_counts > 0])
            padded = pad_sequence([part.to(texts) for part in features], batch_first=True)
            length = padded.shape[1]
            places = (image_counts > 0).nonzero()[:, 0]
            seen = texts.new_zeros(len(texts), length, texts.shape[-1]).index_put((places,), padded)
            lengths = image_counts.new_zeros(len(texts))
            lengths[places] = torch.tensor([len(part) for part in features], device=lengths.device)
            mask = torch.arange(length, device=lengths.device) < lengths[:, None]
        else:  # one blank column stands for all; in training it comes the way that images come
            seen = texts.new_zeros(len(texts), 1, texts.shape[-1])
            mask = torch.zeros(seen.shape[:2], dtype=torch.bool, device=seen.device)
            if self.training and isinstance(self.vlm, LlavaPartsForConditionalGeneration):
                blank = self.vlm.blank_patches(images.get("image_features"))
                seen = seen + 0.0 * blank.sum()
        seen, read = self.context_perceiver.encode_samples(seen, mask, texts, attention_mask.bool())
        return seen, mask, read

    def embed_context(self, input_ids: Tensor, attention_mask: Tensor, **images: Any) -> Tensor:
        """Return the context tokens float[B', 2 M, D] of the B' rows that have samples; all samples go in one batch.

        Args:
          input_ids, attention_mask: int64[B, N, L]; a sample of mask 0 throughout is padding.
          images: `image_counts` int64[B, N], 0 where a sample has no image, and what the image processor gave for the
            images there are, row by row; see `encode_samples`.
        """
        words = attention_mask.bool()
        real = words.any(dim=2)
        counts = images.pop("image_counts", None)
        seen, mask, read = self.encode_samples(
            input_ids[real], attention_mask[real], None if counts is None else counts[real], **images
        )
        rows = real.any(dim=1)
        tokens: Tensor = self.context_perceiver.compress(
            spread(seen, real)[rows], spread(mask, real)[rows], spread(read, real)[rows], words[rows]
        )
        return tokens

    def _blank_context(self, input_ids: Tensor, images: Mapping[str, Tensor]) -> Tensor:
        """Return float[1, 2 M, D] for a training step without samples; see `LlavaParts….blank_patches`."""
        word = torch.zeros_like(input_ids[:1, :1, None])
        return self.embed_context(word, torch.ones_like(word), **images)

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

    def _delivering(self, context: Tensor | None, input_ids: Tensor | None) -> AbstractContextManager[None]:
        if context is None or input_ids is None:
            return nullcontext()
        return delivered(self.get_input_embeddings(), context, len(input_ids))

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
                kept = {name: kwargs[name] for name in ("image_features",) if kwargs.get(name) is not None}
                extra = self._blank_context(input_ids, kept)
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
        if "logits_to_keep" in _arguments(self.vlm) and len(places):
            options["logits_to_keep"], following = places, following[:, places]
        output = self.vlm(**options)
        scores = output.logits.float().flatten(0, 1)
        total = F.cross_entropy(
            scores,
            following.flatten().to(scores.device),
            ignore_index=IGNORED,
            reduction="mean" if items is None else "sum",
        )
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

    def _leave_placeholders_out(self, input_ids: Tensor, kwargs: dict[str, Any]) -> None:
        """Let a repetition penalty count the answer alone where placeholders are no words of the vocabulary."""
        settings = kwargs.get("generation_config") or self.generation_config
        penalty = kwargs.get("repetition_penalty", settings.repetition_penalty)
        own = isinstance(self.vlm, LlavaPartsForConditionalGeneration)  # its prompts are read as embeddings
        if own or penalty in (None, 1.0) or int(input_ids.max()) < self.config.get_text_config().vocab_size:
            return
        counted = RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=input_ids.shape[1])
        kwargs["logits_processor"] = LogitsProcessorList([counted, *(kwargs.get("logits_processor") or [])])
        kwargs["repetition_penalty"] = 1.0

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

    # ---- words, weights and parts ------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Let the word embedding look out for context placeholders."""
        for handle in self._watching:
            handle.remove()
        self._watching = watch(self.get_input_embeddings(), self.config.context_token_id)

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings of the language model."""
        self.vlm.set_input_embeddings(value)
        self._watch()

    def get_output_embeddings(self) -> nn.Module:
        """Return the head of the language model."""
        return self.vlm.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the head of the language model."""
        self.vlm.set_output_embeddings(new_embeddings)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> Any:
        """Resize the word embeddings as transformers does; placeholders keep their ids, which the configuration has."""
        embeddings = self.vlm.resize_token_embeddings(*args, **kwargs)
        self._watch()
        return embeddings

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
                if gain is not None:  # about as large as projected word embeddings are with new weights
                    init.constant_(gain, 0.1)

    @property
    def language_part(self) -> nn.Module:
        """The smallest model inside the vision-language model that holds its word embeddings and its layers."""
        part: nn.Module = language_part(self.vlm)
        return part

    # ---- files -------------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a model as transformers does; a folder in the official CaMML layout is read as it is."""
        if official.is_official(pretrained_model_name_or_path):
            return official.load(cls, pretrained_model_name_or_path, **kwargs)
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def save_pretrained(self, save_directory: Any, *args: Any, push_to_hub: bool = False, **kwargs: Any) -> None:
        """Save a model as transformers does, with a model card; one that somebody wrote is left as it is."""
        own = set(signature(PreTrainedModel.save_pretrained).parameters)
        hub = {name: kwargs.pop(name) for name in list(kwargs) if name not in own}
        super().save_pretrained(save_directory, *args, **kwargs)
        if kwargs.get("is_main_process", True):
            card.write(Path(save_directory), card.compose(self.config, card.count(self), tags=self.model_tags or ()))
        if push_to_hub:
            self.push_to_hub(hub.pop("repo_id", Path(save_directory).name), **hub)

    def push_to_hub(self, repo_id: str, *, tags: str | list[str] | None = None, **kwargs: Any) -> Any:
        """Upload a model with its card; keywords are those of transformers' own `push_to_hub`."""
        self.add_model_tags(tags or [])
        return card.push(self, repo_id, **kwargs)


def _names_of(vlm: Any) -> list[str] | None:
    """Return what the weights of a vision-language model are called; None where nothing says so."""
    parts = (vlm.language_model, vlm.vision_tower) if isinstance(vlm, LlavaPartsForConditionalGeneration) else (vlm,)
    folders = [part.config.name_or_path for part in parts]
    return [card.base_name(folder) for folder in folders if folder and folder != "None"] or None


def _arguments(vlm: nn.Module) -> Mapping[str, Any]:
    """Return the arguments of a model's forward pass."""
    reader = vlm.language_model if isinstance(vlm, LlavaPartsForConditionalGeneration) else vlm
    return signature(type(reader).forward).parameters
