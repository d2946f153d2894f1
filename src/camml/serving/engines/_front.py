"""Requests to embeddings: everything an engine does before its language model runs."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from camml import answering, prompts
from camml.answering import DEFAULT_SHOTS, Decoding, budget_of, fitting
from camml.answering._generation import check_fits
from camml.answering._grounding import GrammarState, Grounding, stop_ids
from camml.answering.in_prompt import InPromptAnswerer, unseen
from camml.answering.interleaved import InterleavedAnswerer
from camml.answering.perceiver import PerceiverAnswerer, pictures_of
from camml.errors import OptionError
from camml.features.passages import Budget
from camml.model.batching import write_prompt
from camml.model.language import bare_language_model, read_embeddings
from camml.serving.engines import Prepared, Request
from camml.serving.engines._calls import CallForm, form_of
from camml.serving.engines._formats import Formats
from camml.serving.engines._pictures import Inputs, Pictures
from camml.tokens import text_of
from camml.types import Query, Sample

TOGETHER = 16
"""Pictures that the tower sees together, where nobody waits."""

Encoded = tuple[dict[str, Tensor], tuple[str, ...], int]
"""The tensors of one prompt, the notes about it, and how long its answer may be."""


class PromptEncoder:
    """The part of a model before its language model: what that reads, as embeddings.

    `prepare` may be called from several threads; `embed` from the one that runs the model.

    Attributes:
      use: how samples are used, a file in `camml/answering`.
      model: the whole model, which can generate by itself.
      language_model: the bare language model that reads embeddings; the vision-language model until `take_apart`.
      tokenizer: of its own, so that decoding an answer never meets the writing of a prompt.
      stop_ids: the tokens that end an answer.
      limit: how many tokens prompt and answer may have together; None where nothing says so.
      sample_hits, sample_misses: samples that were kept from an earlier question, and those that had to be computed.
    """

    def __init__(self, answerer: PerceiverAnswerer | InPromptAnswerer | InterleavedAnswerer) -> None:
        self._answerer = answerer
        self.sample_hits = self.sample_misses = 0
        self._pictures = Pictures()
        self._reading = Lock()  # a tokenizer is not to be used by two threads
        self.model: PreTrainedModel = answerer.model
        self.language_model: PreTrainedModel = answerer.model
        self._parts = False
        self._encode: Callable[[Request], Encoded]
        if isinstance(answerer, PerceiverAnswerer):
            self.use, self._encode, tokenizer = "perceiver", self._for_perceiver, answerer.processor.tokenizer
            self._parts = answerer.processor.parts
            self.language_model = answerer.model.vlm.language_model if self._parts else answerer.model.vlm
        elif isinstance(answerer, InterleavedAnswerer):
            self.use, self._encode, tokenizer = "interleaved", self._for_interleaved, answerer.tokenizer
        else:
            self.use, self._encode, tokenizer = "in_prompt", self._for_prompt, answerer.tokenizer
        self.tokenizer, self._words = deepcopy(tokenizer), tokenizer
        self.default_shots = DEFAULT_SHOTS[self.use]
        self.most_pictures = 0 if self.use == "in_prompt" else None
        self.stop_ids = stop_ids(answerer.model, self.tokenizer)
        text = self.language_model.config.get_text_config()
        self.limit: int | None = getattr(text, "max_position_embeddings", None)
        words = set(self.tokenizer.get_vocab()) - set(self.tokenizer.all_special_tokens)
        self._longest_token = max(map(len, words), default=1)
        self._grounding = Grounding(answerer.model, self.tokenizer, answerer.grounding.usual)
        self._formats = Formats(self._grounding.grammars)

    @torch.inference_mode()
    def take_apart(self) -> None:
        """Let the language model of a vision-language model read embeddings by itself, as engines that batch want it.

        Raises:
          OptionError: it reads more than embeddings whose places follow one another, or has another head.
        """
        if self.use == "in_prompt" or self._parts:
            return
        query = Query("a", Image.new("RGB", (64, 48), "white"))
        vlm = self.language_model
        embeds = self.embed(self.prepare(Request(query, decoding=Decoding(1))))
        self.language_model = bare_language_model(vlm, embeds[None, -4:])

    @property
    def device(self) -> torch.device:
        """The device of the language model."""
        return torch.device(self.language_model.device)

    @property
    def most_characters(self) -> int | None:
        """Return how long a text can be at most that the model has room for, whatever its tokens are."""
        return None if self.limit is None else self.limit * self._longest_token

    def calls(self) -> CallForm | None:
        """Return how the model writes calls of tools; None where it knows none."""
        answerer, skipped = self._answerer, set(self.tokenizer.all_special_tokens)
        if isinstance(answerer, PerceiverAnswerer) and prompts.style(answerer.processor.prompt_style).vicuna:
            return None
        writer: Any = answerer.tokenizer if isinstance(answerer, InPromptAnswerer) else answerer.processor

        def template(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> str:
            said = messages if self.most_pictures is not None else [prompts.in_parts(message) for message in messages]
            return write_prompt(writer, said, said[-1]["role"] == "user", tools=tools)

        with self._reading:
            return form_of(template, skipped)

    def text_of(self, tokens: Sequence[int]) -> str:
        """See `Engine`."""
        with self._reading:
            return text_of(self._words, tokens)

    def form(self, request: Request) -> GrammarState | None:
        """Return what holds an answer to the form that is asked for, or to words of its samples.

        Raises:
          OptionError: the form cannot be kept.
        """
        if request.sampling.schema:
            return self._formats.form(request.sampling.schema)
        if not self._grounded(request):
            return None
        return self._grounding.grammars.in_words_of(request.query, request.context)

    def grammar(self, request: Request) -> str | None:
        """Return the grammar of an answer in words of its samples; None where it is free."""
        return self._grounding.grammars.usable(request.query, request.context) if self._grounded(request) else None

    def _grounded(self, request: Request) -> bool:
        """Return whether an answer is held to words of its samples; calls of tools are written in other ones."""
        return bool(request.context) and not request.tools and self._grounding.wanted(request.decoding)

    def counts(self) -> Mapping[str, float]:
        """Return the hits and misses of the caches of samples and pictures."""
        return {
            "sample_hits_total": self.sample_hits,
            "sample_misses_total": self.sample_misses,
            "picture_hits_total": self._pictures.hits,
            "picture_misses_total": self._pictures.misses,
        }

    def budget(self, passages: str) -> Budget | None:
        """See `Engine`."""
        budget = budget_of(self._answerer, passages)
        return None if budget is None else replace(budget, length=self._length(budget))

    def _length(self, budget: Budget) -> Callable[[str], int]:
        """Return how texts are counted, one thread at a time."""

        def length(text: str) -> int:
            with self._reading:
                return budget.length(text)

        return length

    def prepare(self, request: Request) -> Prepared:
        """See `Engine`; opens pictures and writes the prompt, without the model."""
        if request.sampling.schema:
            self._formats.form(request.sampling.schema)  # a wrong one is refused before anything is computed
        inputs, notes, allowed = self._encode(request)
        tokens = inputs["input_ids"].shape[1]
        named = Inputs.of(inputs) if self._parts else inputs
        return Prepared(request, tokens, allowed, notes, named)

    @torch.inference_mode()
    def look(self, requests: Sequence[Prepared], most: int) -> None:
        """Show a tower of its own the pictures of some requests together, `most` at a time, that it has not seen."""
        inputs = [prepared.inputs for prepared in requests if isinstance(prepared.inputs, Inputs)]
        if self._parts:
            vlm: Any = self.model.vlm
            self._pictures.look(inputs, most, lambda pixels: vlm.tower_features(pixels.to(self.device)))

    @staticmethod
    def ready(prepared: Prepared) -> bool:
        """Return whether the tower has seen all pictures of a request."""
        return not isinstance(prepared.inputs, Inputs) or prepared.inputs.seen

    @torch.inference_mode()
    def whole(self, prepared: Prepared) -> dict[str, Tensor]:
        """Return the inputs of the whole model for one prompt."""
        inputs = {name: tensor.to(self.device) for name, tensor in prepared.inputs.items()}
        if self.use == "perceiver" and (context := prepared.request.context):
            inputs |= self._cached([neighbor.read for neighbor in context])
        return inputs

    @torch.inference_mode()
    def embed(self, prepared: Prepared) -> Tensor:
        """Return the prompt float[T, D] with its context and image tokens."""
        while not self.ready(prepared):
            self.look([prepared], TOGETHER)
        given = prepared.inputs.with_features() if isinstance(prepared.inputs, Inputs) else prepared.inputs
        inputs = {name: tensor.to(self.device) for name, tensor in given.items()}
        if isinstance(self._answerer, PerceiverAnswerer):
            if context := prepared.request.context:
                inputs |= self._cached([neighbor.read for neighbor in context])
            embeds: Tensor = self._answerer.model.embed(**inputs)[0]
        elif self.use == "interleaved":
            embeds = read_embeddings(self.model, inputs)[0]
        else:
            embeds = self.language_model.get_input_embeddings()(inputs["input_ids"])[0]
        return embeds

    def penalized(self, prepared: Prepared) -> tuple[Tensor, float]:
        """Return the tokens int64[T] of the prompt that the model's repetition penalty counts, and that penalty.

        As `generate` has it: a prompt of a language model with a tower of its own is read as embeddings, and has no
        tokens to count; nor has one with placeholders that are no words of the vocabulary.
        """
        penalty = self.model.generation_config.repetition_penalty
        ids: Tensor = prepared.inputs["input_ids"][0].to(self.device)
        words = self.language_model.get_input_embeddings().num_embeddings
        counted = ids[:0] if self._parts or int(ids.max()) >= words else ids
        return counted, 1.0 if penalty is None else float(penalty)

    def _cached(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Return the context from what is kept of its samples; nothing where nothing is kept."""
        assert isinstance(self._answerer, PerceiverAnswerer)
        cached = self._answerer.cached
        if cached is None:
            return {}
        self.sample_hits += (hits := sum(cached.key(sample) in cached.cache for sample in samples))
        self.sample_misses += len(samples) - hits
        return {"context_embeds": cached.embed([samples]).to(self.device)}

    def _for_perceiver(self, request: Request) -> Encoded:
        assert isinstance(self._answerer, PerceiverAnswerer)
        query, context = request.query, request.context
        turns = request.turns
        with self._reading:
            inputs = self._answerer.processor.prepare(
                [turns],
                images=[pictures_of(turns)],
                samples=[[neighbor.read for neighbor in context]],
                encode_samples=self._answerer.cached is None,
                tools=request.tools,
            )
            notes = self._answerer.notes(query, context)
        return dict(inputs), notes, self._longest(request, inputs["input_ids"].shape[1])

    def _for_prompt(self, request: Request) -> Encoded:
        assert isinstance(self._answerer, InPromptAnswerer)
        with self._reading:
            least = Decoding(self._least(request))
            prompt, cuts = self._answerer.fit(request.query, request.context, least, request.turns, request.tools)
            special = not self.tokenizer.chat_template
            ids = self._answerer.tokenizer(prompt, add_special_tokens=special)["input_ids"]
        return {"input_ids": torch.tensor([ids])}, unseen(request.query) + cuts, self._longest(request, len(ids))

    def _for_interleaved(self, request: Request) -> Encoded:
        assert isinstance(self._answerer, InterleavedAnswerer)
        with self._reading:
            least = Decoding(self._least(request))
            inputs, cuts = self._answerer.fit(request.query, request.context, least, request.turns, request.tools)
        return inputs, cuts, self._longest(request, inputs["input_ids"].shape[1])

    def _least(self, request: Request) -> int:
        """Return how long an answer is to be at least: of a window too short for all, a quarter is kept for it."""
        asked = request.decoding.max_new_tokens
        return min(asked, self.limit // 4) if request.shorten and self.limit else asked

    def _longest(self, request: Request, tokens: int) -> int:
        """Return how many tokens the answer may have after a prompt of `tokens`."""
        asked = request.decoding.max_new_tokens
        if request.shorten and self.limit is not None:
            asked = max(1, min(asked, self.limit - tokens))
        check_fits(tokens, Decoding(asked), self.limit)
        return asked


class FrontEngine:
    """The half of an `Engine` that its front knows."""

    def __init__(self, front: PromptEncoder) -> None:
        self._front = front
        self.default_shots = front.default_shots
        self.most_pictures = front.most_pictures
        self.calls = front.calls()

    @property
    def most_characters(self) -> int | None:
        """See `Engine`."""
        return self._front.most_characters

    def text_of(self, tokens: Sequence[int]) -> str:
        """See `Engine`."""
        return self._front.text_of(tokens)

    def budget(self, passages: str) -> Budget | None:
        """See `Engine`."""
        return self._front.budget(passages)


def load(
    model: Path,
    use: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    sample_cache: str | None = None,
    **options: Any,
) -> PromptEncoder:
    """Return the front of the model in a folder.

    Args:
      use: `perceiver`, `interleaved` or `in_prompt`; None for what fits the folder.
      sample_cache: a folder in which a CaMML model keeps what it makes of each sample, as `camml store cache` does.
      options: for `perceiver` those of the processor, such as `prompt_style`.

    Raises:
      UnknownNameError, ModelFolderError: as `answering.load`.
      OptionError: options that this use does not have.
    """
    use = use or fitting(model)
    if sample_cache:
        options["cache"] = Path(sample_cache)
    if use != "perceiver" and options:
        raise OptionError(f"a model used {use!r} has no option {next(iter(options))!r}; that is for CaMML models")
    answerer = answering.load(use, model, device=device, dtype=dtype, **options)
    if not isinstance(answerer, PerceiverAnswerer | InPromptAnswerer | InterleavedAnswerer):
        raise OptionError(f"models used {use!r} cannot be served; there are: perceiver, interleaved, in_prompt")
    return PromptEncoder(answerer)
