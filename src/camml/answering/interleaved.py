"""The baseline for vision-language models: pictures and texts of the samples in the prompt, before the question."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from camml import prompts
from camml.answering import Decoding, fitting
from camml.answering._generation import (
    fit_samples,
    generate,
    log_probability,
    stream_text,
)
from camml.answering._grounding import Grounding
from camml.control import control_tokens, defuse
from camml.devices import choose_device, choose_dtype
from camml.errors import ModelFolderError, OptionError
from camml.features.passages import Budget
from camml.images import ImageSource
from camml.model.batching import join, prepare_row, write_prompt
from camml.model.loading import kind_of, load_model
from camml.prompts import Turn
from camml.types import Context, Prediction, Query, Sample

Row = tuple[dict[str, Tensor], tuple[str, ...]]
"""The inputs of one question, and what was left out so that they fit."""


class InterleavedAnswerer:
    """Answers with any vision-language model, which sees the picture and reads the text of each sample.

    Args:
      prompt_style: how samples and question are worded, one of `camml.prompts.PASTES`.
      see_samples: whether the samples' pictures go into the prompt, or their texts alone.

    Raises:
      UnknownNameError: there is no such wording.
    """

    def __init__(
        self, model: PreTrainedModel, processor: ProcessorMixin, prompt_style: str = "plain", see_samples: bool = True
    ) -> None:
        prompts.paste("", [], prompt_style)
        self.model = model.eval()
        self.processor = processor
        self.tokenizer: Any = getattr(processor, "tokenizer", processor)
        self.prompt_style = prompt_style
        self.see_samples = see_samples
        templated = getattr(processor, "chat_template", None) or self.tokenizer.chat_template
        self._mark = prompts.IMAGE + "\n" * (not templated)  # chat templates set pictures apart in their own way
        self._control = control_tokens(self.tokenizer)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.grounding = Grounding(model, self.tokenizer)
        self.limit: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)

    def answer(
        self, queries: Sequence[Query], contexts: Sequence[Context], decoding: Decoding | None = None
    ) -> list[Prediction]:
        """See `Answerer`."""
        if not queries:
            return []
        decoding = decoding or Decoding()
        rows = [self.fit(query, context, decoding) for query, context in zip(queries, contexts, strict=True)]
        inputs = join([row for row, _ in rows], self.tokenizer.pad_token_id, "left")
        given = {name: tensor.to(self.model.device) for name, tensor in inputs.items()}
        answers = generate(self.model, given, decoding, self.grounding.forms(queries, contexts, decoding))
        return [
            Prediction(
                text=self.tokenizer.decode(answer, skip_special_tokens=True).strip(),
                context=context,
                prompt=self.prompt(query, context),
                prompt_tokens=row["input_ids"].shape[1],
                new_tokens=int((answer != self.tokenizer.pad_token_id).sum()),
                notes=cuts,
            )
            for query, context, answer, (row, cuts) in zip(queries, contexts, answers, rows, strict=True)
        ]

    def prompt(self, query: Query, context: Context) -> str:
        """See `Answerer`."""
        content, _ = self._content(_asked(query), [neighbor.read for neighbor in context])
        return content.replace(prompts.IMAGE, "<image>")

    def notes(self, query: Query, context: Context, decoding: Decoding | None = None) -> tuple[str, ...]:
        """See `Answerer`."""
        return self.fit(query, context, decoding or Decoding())[1]

    def stream(self, query: Query, context: Context, decoding: Decoding | None = None) -> Iterator[str]:
        """See `Answerer`."""
        decoding = decoding or Decoding()
        row, _ = self.fit(query, context, decoding)
        inputs = {name: tensor.to(self.model.device) for name, tensor in row.items()}
        return stream_text(
            self.model, self.tokenizer, inputs, decoding, self.grounding.forms([query], [context], decoding)
        )

    def likelihood(self, query: Query, context: Context, answer: str) -> float:
        """See `Answerer`."""
        ids = self.tokenizer.encode(answer, add_special_tokens=False)
        row, _ = self.fit(query, context, Decoding(max(1, len(ids))))
        inputs = {name: tensor.to(self.model.device) for name, tensor in row.items()}
        return log_probability(self.model, inputs, ids)

    def budget(self, tokens: int | None = None) -> Budget | None:
        """See `Answerer`."""
        return None if tokens is None else Budget(tokens, lambda text: len(self.tokenizer.encode(text)))

    def fit(
        self,
        query: Query,
        context: Context,
        decoding: Decoding,
        turns: Sequence[Turn] = (),
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Row:
        """Return the inputs of one question, and what was left out so that they fit: the farthest sample first.

        Args:
          turns: the conversation up to the question, where it is more than the query and its history.
          tools: that the model may call, as chat templates take them.

        Raises:
          OptionError: the question alone is too long.
          ImageError: a picture cannot be used.
        """
        conversation = turns or [*query.history, _asked(query)]

        def write(samples: Sequence[Sample]) -> dict[str, Tensor]:
            return self._row(conversation, samples, tools)

        return fit_samples(context, write, lambda row: row["input_ids"].shape[1], self.tokenizer, decoding, self.limit)

    def _content(self, asked: Turn, samples: Sequence[Sample]) -> tuple[str, list[ImageSource]]:
        """Return the last message, with `prompts.IMAGE` for each picture, and the pictures in reading order."""
        seen = [sample.image if self.see_samples else None for sample in samples]
        mark = prompts.IMAGE + "\n"
        texts = [mark * (i is not None) + self._harmless(s.text) for s, i in zip(samples, seen, strict=True)]
        own = mark if samples else self._mark
        question = own * len(asked.images) + self._harmless(asked.question)
        content = prompts.paste(question, texts, self.prompt_style)
        ordered = reversed(seen) if prompts.PASTES[self.prompt_style].nearest_last else seen
        return content, [*(image for image in ordered if image is not None), *asked.images]

    def _harmless(self, text: str) -> str:
        """Return a text of a person without what controls the model."""
        return defuse(prompts.clean(text), self._control)

    def _row(
        self, turns: Sequence[Turn], samples: Sequence[Sample], tools: Sequence[Mapping[str, Any]]
    ) -> dict[str, Tensor]:
        content, images = self._content(turns[-1], samples)
        *history, last = [turn.map_texts(self._harmless) for turn in turns]
        before = [replace(turn, question=self._mark * len(turn.images) + turn.question) for turn in history]
        conversation = [*before, replace(last, question=content)]
        if self._mark == prompts.IMAGE:
            text = self._templated([prompts.in_parts(message) for message in prompts.messages(conversation)], tools)
        else:
            mark = str(getattr(self.processor, "boi_token", None) or getattr(self.processor, "image_token", ""))
            text = prompts.vicuna(conversation).replace(prompts.IMAGE, mark)
        return prepare_row(self.processor, text, [*chain.from_iterable(turn.images for turn in history), *images])

    def _templated(self, messages: Sequence[prompts.Message], tools: Sequence[Mapping[str, Any]]) -> str:
        given = {"tools": prompts.map_texts(tools, self._harmless)} if tools else {}
        try:
            return write_prompt(self.processor, messages, True, **given)
        except TemplateError as error:
            raise OptionError(f"the chat template of this model does not take the conversation: {error}") from None


def _asked(query: Query) -> Turn:
    return Turn(query.text, None, () if query.image is None else (query.image,))


def load(
    model: Path,
    device: str | None = None,
    dtype: str | None = None,
    prompt_style: str = "plain",
    see_samples: bool = True,
) -> InterleavedAnswerer:
    """Return a vision-language model from its folder.

    Raises:
      UnknownNameError: no such `prompt_style`.
      ModelFolderError: the folder does not hold a vision-language model.
    """
    place = choose_device(device)
    if kind_of(model) != "vision-language":
        raise ModelFolderError(f"{model} does not hold a vision-language model; use it with {fitting(model)!r}")
    loaded, processor = load_model(model, dtype=choose_dtype(dtype, place))
    return InterleavedAnswerer(loaded.to(place), processor, prompt_style, see_samples)
