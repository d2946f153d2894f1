"""The baseline: texts of the samples in the prompt of any instruction-tuned language model, which sees no image."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

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
from camml.model.batching import write_prompt
from camml.model.loading import kind_of, load_model
from camml.prompts import Turn
from camml.types import Context, Prediction, Query, Sample


class InPromptAnswerer:
    """Answers with a language model that reads the samples' texts before the question.

    Args:
      prompt_style: how the texts and the question are worded, one of `camml.prompts.PASTES`.

    Raises:
      UnknownNameError: there is no such wording.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt_style: str = "plain") -> None:
        prompts.paste("", [], prompt_style)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.prompt_style = prompt_style
        self._control = control_tokens(tokenizer)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "left"
        self.grounding = Grounding(model, tokenizer)

    def answer(
        self, queries: Sequence[Query], contexts: Sequence[Context], decoding: Decoding | None = None
    ) -> list[Prediction]:
        """See `Answerer`."""
        if not queries:
            return []
        decoding = decoding or Decoding()
        fitted = [self.fit(query, context, decoding) for query, context in zip(queries, contexts, strict=True)]
        inputs = self._inputs([prompt for prompt, _ in fitted])
        answers = generate(self.model, inputs, decoding, self.grounding.forms(queries, contexts, decoding))
        return [
            Prediction(
                text=self.tokenizer.decode(answer, skip_special_tokens=True).strip(),
                context=context,
                prompt=prompt,
                prompt_tokens=int(mask.sum()),
                new_tokens=int((answer != self.tokenizer.pad_token_id).sum()),
                notes=unseen(query) + cuts,
            )
            for query, (prompt, cuts), context, answer, mask in zip(
                queries, fitted, contexts, answers, inputs["attention_mask"], strict=True
            )
        ]

    def prompt(self, query: Query, context: Context) -> str:
        """See `Answerer`."""
        return self.render([*query.history, Turn(query.text)], [neighbor.text for neighbor in context])

    def notes(self, query: Query, context: Context, decoding: Decoding | None = None) -> tuple[str, ...]:
        """See `Answerer`."""
        return unseen(query) + self.fit(query, context, decoding or Decoding())[1]

    def stream(self, query: Query, context: Context, decoding: Decoding | None = None) -> Iterator[str]:
        """See `Answerer`."""
        decoding = decoding or Decoding()
        prompt, _ = self.fit(query, context, decoding)
        return stream_text(
            self.model,
            self.tokenizer,
            self._inputs([prompt]),
            decoding,
            self.grounding.forms([query], [context], decoding),
        )

    def likelihood(self, query: Query, context: Context, answer: str) -> float:
        """See `Answerer`."""
        ids = self.tokenizer.encode(answer, add_special_tokens=False)
        prompt, _ = self.fit(query, context, Decoding(max(1, len(ids))))
        return log_probability(self.model, self._inputs([prompt]), ids)

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
    ) -> tuple[str, tuple[str, ...]]:
        """Return the prompt, and what was left out so that it fits: samples are shortened, the farthest first.

        Args:
          turns: the conversation up to the question, where it is more than the query and its history.
          tools: that the model may call, as chat templates take them.

        Raises:
          OptionError: the question alone is too long.
        """
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        conversation = turns or [*query.history, Turn(query.text)]

        def write(samples: Sequence[Sample]) -> str:
            return self.render(conversation, [sample.text for sample in samples], tools)

        return fit_samples(context, write, self._length, self.tokenizer, decoding, limit)

    def render(self, turns: Sequence[Turn], texts: Sequence[str], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """Return the prompt for a conversation, and the texts of the samples for its last question."""
        *history, last = [turn.map_texts(self._harmless) for turn in turns]
        question = prompts.paste(last.question, list(map(self._harmless, texts)), self.prompt_style)
        conversation = [*history, replace(last, question=question)]
        if not self.tokenizer.chat_template:
            return prompts.vicuna(conversation)
        given = {"tools": prompts.map_texts(tools, self._harmless)} if tools else {}
        try:
            return write_prompt(self.tokenizer, prompts.messages(conversation), True, **given)
        except TemplateError as error:
            raise OptionError(f"the chat template of this model does not take the conversation: {error}") from None

    def _harmless(self, text: str) -> str:
        return defuse(text, self._control)

    def _length(self, prompt: str) -> int:
        return len(self._inputs([prompt])["input_ids"][0])

    def _inputs(self, texts: Sequence[str]) -> Any:
        # a chat template writes the special tokens itself
        special = not self.tokenizer.chat_template
        inputs = self.tokenizer(list(texts), return_tensors="pt", padding=True, add_special_tokens=special)
        inputs.pop("token_type_ids", None)
        return inputs.to(self.model.device)


def unseen(query: Query) -> tuple[str, ...]:
    """Return the note that the answer was given without seeing the image."""
    return () if query.image is None else ("the model reads texts only; it does not see the image",)


def load(
    model: Path, device: str | None = None, dtype: str | None = None, prompt_style: str = "plain"
) -> InPromptAnswerer:
    """Return a language model from its folder.

    Raises:
      UnknownNameError: no such `prompt_style`.
      ModelFolderError: the folder does not hold a language model.
    """
    place = choose_device(device)
    if kind_of(model) != "language":
        raise ModelFolderError(f"{model} is not a text-only language model; use it with {fitting(model)!r}")
    loaded, tokenizer = load_model(model, dtype=choose_dtype(dtype, place))
    return InPromptAnswerer(loaded.to(place), tokenizer, prompt_style)
