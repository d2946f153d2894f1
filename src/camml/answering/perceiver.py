"""CaMML itself: samples as context tokens in front of a language model."""

from collections.abc import Iterator, Sequence
from copy import copy
from itertools import chain
from pathlib import Path
from typing import Any

from transformers import BatchFeature

from camml.answering import Decoding, fitting
from camml.answering._generation import (
    check_fits,
    generate,
    log_probability,
    stream_text,
)
from camml.answering._grounding import Grounding
from camml.devices import choose_device, choose_dtype
from camml.errors import ModelFolderError, OptionError
from camml.features.once import DeduplicatedFeatures, name_of
from camml.features.passages import Budget
from camml.features.samples import MAX_BYTES, SampleFeatures
from camml.images import ImageSource
from camml.model import CamMLForConditionalGeneration, CamMLProcessor
from camml.model.loading import kind_of, load_model
from camml.prompts import CONTEXT, IMAGE, Turn, style
from camml.types import Context, Prediction, Query, Sample

SMALLEST_GB = 0.1


class PerceiverAnswerer:
    """Answers with a CaMML model; all samples of all rows go through the perceivers in one batch.

    Args:
      cached: the cache of what the model makes of each sample; without one it is computed for every question.
    """

    def __init__(
        self, model: CamMLForConditionalGeneration, processor: CamMLProcessor, cached: SampleFeatures | None = None
    ) -> None:
        self.model = model.eval()
        self.processor = processor
        self.cached = cached
        self.grounding = Grounding(model, processor.tokenizer, bool(model.config.grounded))

    def in_style(self, name: str) -> "PerceiverAnswerer":
        """Return the same model, asked in the prompt style `name`.

        Raises:
          UnknownNameError: no such style.
        """
        processor = copy(self.processor)
        style(name)
        processor.prompt_style = name
        return PerceiverAnswerer(self.model, processor, self.cached)

    def answer(
        self, queries: Sequence[Query], contexts: Sequence[Context], decoding: Decoding | None = None
    ) -> list[Prediction]:
        """See `Answerer`."""
        if not queries:
            return []
        decoding = decoding or Decoding()
        inputs = self._inputs(queries, contexts, decoding)
        answers = generate(self.model, inputs, decoding, self.grounding.forms(queries, contexts, decoding))
        pad = self.processor.tokenizer.pad_token_id
        return [
            Prediction(
                text=self.processor.decode(answer).strip(),
                context=context,
                prompt=self.prompt(query, context),
                prompt_tokens=int(mask.sum()),
                new_tokens=int((answer != pad).sum()),
                notes=self.notes(query, context),
            )
            for query, context, answer, mask in zip(queries, contexts, answers, inputs["attention_mask"], strict=True)
        ]

    def stream(self, query: Query, context: Context, decoding: Decoding | None = None) -> Iterator[str]:
        """See `Answerer`."""
        decoding = decoding or Decoding()
        inputs = self._inputs([query], [context], decoding)
        return stream_text(
            self.model, self.processor.tokenizer, inputs, decoding, self.grounding.forms([query], [context], decoding)
        )

    def likelihood(self, query: Query, context: Context, answer: str) -> float:
        """See `Answerer`."""
        ids = self.processor.tokenizer.encode(answer, add_special_tokens=False)
        return log_probability(self.model, self._inputs([query], [context], Decoding(max(1, len(ids)))), ids)

    def budget(self, tokens: int | None = None) -> Budget | None:
        """See `Answerer`; perceivers with continuous positions read no more words than there are context tokens."""
        config = self.model.config
        limit = tokens or (config.context_tokens if config.perceiver_run_on else None)
        return None if limit is None else Budget(limit, self.processor.sample_length)

    def _inputs(self, queries: Sequence[Query], contexts: Sequence[Context], decoding: Decoding) -> BatchFeature:
        samples = [[neighbor.read for neighbor in context] for context in contexts]
        conversations = [_turns(query) for query in queries]
        images = [pictures_of(turns) for turns in conversations]
        inputs = self.processor.prepare(
            conversations,
            images=images,
            samples=samples,
            features_of=self._shared(
                list(chain.from_iterable(images)), [] if self.cached else list(chain.from_iterable(samples))
            ),
            encode_samples=self.cached is None,
        )
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        check_fits(inputs["input_ids"].shape[1], decoding, limit)
        if self.cached is not None and any(samples):
            inputs["context_embeds"] = self.cached.embed(samples)
        return inputs.to(self.model.device)

    def _shared(self, images: Sequence[ImageSource | None], samples: Sequence[Sample]) -> DeduplicatedFeatures | None:
        """Return the tower, asked for each image once, where that saves something: several questions about one image.

        Where questions or samples have no image at all the model is given none, so that it need not mask them.
        """
        if not self.processor.parts:
            return None
        groups = [images, [sample.image for sample in samples]] if samples else [images]
        given = [name_of(image) for group in groups for image in group if image is not None]
        everywhere = all(any(image is not None for image in group) for group in groups)
        return DeduplicatedFeatures(self.model, self.processor) if everywhere and len(set(given)) < len(given) else None

    def prompt(self, query: Query, context: Context) -> str:
        """See `Answerer`."""
        turns = _turns(query)
        prompt = self.processor.render(turns, bool(context), len(pictures_of(turns)))
        return prompt.replace(CONTEXT, "<context>").replace(IMAGE, "<image>")

    def notes(self, query: Query, context: Context, decoding: Decoding | None = None) -> tuple[str, ...]:
        """See `Answerer`."""
        limit = self.processor.sample_max_length
        lengths = {neighbor.sample.id: self.processor.sample_length(neighbor.text) for neighbor in context}
        return tuple(f"sample {id}: text cut from {n} to {limit} tokens" for id, n in lengths.items() if n > limit)


def pictures_of(turns: Sequence[Turn]) -> list[ImageSource]:
    """Return the pictures of a conversation, all of which a model is shown where they stand."""
    return [picture for turn in turns for picture in turn.images]


def _turns(query: Query) -> list[Turn]:
    """Return a question with its picture, behind what was said before it."""
    return [*query.history, Turn(query.text, None, () if query.image is None else (query.image,))]


def load(
    model: Path,
    device: str | None = None,
    dtype: str | None = None,
    cache: Path | None = None,
    cache_gb: float = MAX_BYTES / 1e9,
    **options: Any,
) -> PerceiverAnswerer:
    """Return a CaMML model from its folder.

    Args:
      cache: the folder in which to keep what the model makes of each sample, `STORE/cache` for a datastore.
      cache_gb: gigabytes it may have.
      options: those of the processor (`prompt_style`, ...).

    Raises:
      ModelFolderError: the folder does not hold a CaMML model.
      OptionError: no room to keep anything.
    """
    if cache_gb < SMALLEST_GB:
        raise OptionError(f"a cache of {cache_gb:g} GB is too small; give at least {SMALLEST_GB}")
    place = choose_device(device)
    if kind_of(model) != "camml":
        raise ModelFolderError(f"{model} does not hold a CaMML model; use it with {fitting(model)!r}")
    loaded, processor = load_model(model, dtype=choose_dtype(dtype, place), **options)
    loaded = loaded.to(place)
    cached = SampleFeatures(cache, loaded, processor, round(cache_gb * 1e9)) if cache else None
    return PerceiverAnswerer(loaded, processor, cached)
