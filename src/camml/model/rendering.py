"""Conversations to prompts, in the wording of a style and the chat template of a model, and the places of answers."""

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from camml import prompts
from camml.errors import OptionError
from camml.model.llava_processor import LlavaPartsProcessor, first_tokens
from camml.prompts import Turn

Span = tuple[int, int]

ANSWER = "\ue010{}\ue011"
"""What stands for an answer while its place in a prompt is looked for; no text of a person holds such characters."""


class Renderer:
    """The half of `CamMLProcessor` that writes prompts."""

    processor: ProcessorMixin
    prompt_style: str
    thinking: bool
    chat_template: Any

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the language model."""
        return getattr(self.processor, "tokenizer", self.processor)

    @property
    def parts(self) -> bool:
        """The model is a language model with a tower of its own, which takes one image of one size."""
        return isinstance(self.processor, LlavaPartsProcessor)

    def render(self, conversation: str | Sequence[Turn], context: bool, images: bool | int) -> str:
        """Return the prompt of one row in this processor's style, with `prompts.CONTEXT` and `prompts.IMAGE` in it."""
        turns = [Turn(conversation)] if isinstance(conversation, str) else conversation
        template = self._chat_template if self.chat_template else None
        return prompts.render(self.prompt_style, turns, context=context, image=images, chat_template=template)

    def render_answers(self, turns: Sequence[Turn], context: bool, images: bool | int) -> tuple[str, list[Span]]:
        """Return the prompt of a whole conversation, and the characters of each answer in it.

        A template may write a turn otherwise when another one follows, and what it writes around an answer may depend
        on where the answer stands, so the places are those of marks that stood for the answers.

        Raises:
          OptionError: what the template writes depends on what the answers say.
        """
        whole = self.render(turns, context, images)
        marks = [ANSWER.format(number) for number in range(len(turns))]
        marked = self.render(
            [Turn(turn.question, mark) for turn, mark in zip(turns, marks, strict=True)], context, images
        )
        spans: list[Span] = []
        text = ""
        for turn, mark in zip(turns, marks, strict=True):
            before, found, marked = marked.partition(mark)
            answer = next((form for form in _forms(turn.answer or "") if whole.startswith(text + before + form)), None)
            if not found or answer is None:
                break
            text += before
            spans.append((len(text), len(text) + len(answer)))
            text += answer
        if len(spans) < len(turns) or text + marked != whole:
            raise OptionError(
                f"the chat template changes what answer {len(spans) + 1} says, or writes other text around it than "
                "around another answer; it cannot be told what to learn"
            )
        return whole, spans

    def _chat_template(self, messages: list[dict[str, str]]) -> str:
        begin = messages[-1]["role"] == "user"
        given: Any = messages if self.parts else [prompts.in_parts(message) for message in messages]
        try:
            text = self._templated(given, begin)
        except TemplateError as error:
            if messages[0]["role"] != "system":
                raise OptionError(f"the chat template of this model does not take the conversation: {error}") from None
            text = self._templated(given[1:], begin)  # some have no system role
        if not self.parts:
            return text
        # templates of some models write the first token themselves; `tokenize` adds it for all
        return text.removeprefix(self.tokenizer.bos_token or "") if first_tokens(self.tokenizer) else text

    def _templated(self, messages: Any, begin: bool) -> str:
        switch = {"enable_thinking": self.thinking} if "enable_thinking" in str(self.chat_template) else {}
        return str(self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=begin, **switch))

    def _marked(self, prompt: str) -> str:
        """Return a prompt that no chat template wrote with the model's own mark for each image."""
        inner: Any = self.processor
        mark = getattr(inner, "boi_token", None) or getattr(inner, "image_token", None)
        return prompt if mark is None else prompt.replace(prompts.IMAGE, str(mark))


def _forms(answer: str) -> list[str]:
    """Return how a template may write an answer."""
    answer = prompts.clean(answer)
    return list(
        dict.fromkeys([answer, answer.strip(), answer.lstrip(), answer.rstrip(), answer.split("</think>")[-1].strip()])
    )
