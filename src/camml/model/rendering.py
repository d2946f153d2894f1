"""Conversations to prompts, in the wording of a style and the chat template of a model, and the places of answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from camml import prompts
from camml.control import control_tokens, defuse
from camml.errors import OptionError, SampleError
from camml.model.batching import write_prompt
from camml.model.llava_processor import LlavaPartsProcessor, first_tokens
from camml.passages import Span
from camml.prompts import Turn

ANSWER = "\ue010{}\ue011"
"""What stands for an answer while its place in a prompt is looked for; no text of a person holds such characters."""


THOUGHT = ("<think>", "</think>")
"""What begins and ends the reasoning before an answer, in the chat templates of models that think."""


class Renderer:
    """The half of `CamMLProcessor` that writes prompts."""

    processor: ProcessorMixin
    prompt_style: str
    thinking: bool
    chat_template: Any
    _control: tuple[str, ...] | None = None

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the language model."""
        return getattr(self.processor, "tokenizer", self.processor)

    @property
    def parts(self) -> bool:
        """The model is a language model with a tower of its own, whose images are of one size."""
        return isinstance(self.processor, LlavaPartsProcessor)

    def harmless(self, text: str) -> str:
        """Return a text of a person without what controls the model: places of images, ends of turns."""
        if self._control is None:
            self._control = control_tokens(self.tokenizer)
        return defuse(prompts.clean(text), self._control)

    def harmless_answer(self, text: str) -> str:
        """Return an answer without what controls the model, but for the marks of a thought it begins with."""
        thought, said = _parted(text)
        if not thought:
            return self.harmless(text)
        inside = thought.strip().removeprefix(THOUGHT[0]).removesuffix(THOUGHT[1])
        return THOUGHT[0] + self.harmless(inside) + THOUGHT[1] + self.harmless(said)

    def render(
        self,
        conversation: str | Sequence[Turn],
        context: bool,
        images: bool | int,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """Return the prompt of one row in this processor's style, with `prompts.CONTEXT` and `prompts.IMAGE` in it.

        Args:
          tools: that the model may call, as chat templates take them.
        """
        turns = [Turn(conversation)] if isinstance(conversation, str) else conversation
        turns = [turn.map_texts(self.harmless, self.harmless_answer) for turn in turns]
        offered = prompts.map_texts(tools, self.harmless)
        template = (lambda chat: self._chat_template(chat, offered)) if self.chat_template else None
        return prompts.render(self.prompt_style, turns, context=context, image=images, chat_template=template)

    def render_answers(self, turns: Sequence[Turn], context: bool, images: bool | int) -> tuple[str, list[Span]]:
        """Return the prompt of a whole conversation, and the characters of each answer, with its reasoning, in it.

        A template may write a turn otherwise when another one follows, and what it writes around an answer may depend
        on where the answer stands, so the places are those of marks that stood for the answers.

        Raises:
          SampleError: what the template writes depends on what the answers say.
        """
        whole = self.render(turns, context, images)
        marks = [ANSWER.format(number) for number in range(len(turns))]
        marked = self.render(
            [
                Turn(turn.question, _parted(turn.answer or "")[0] + mark)
                for turn, mark in zip(turns, marks, strict=True)
            ],
            context,
            images,
        )
        asked = self.render([*turns[:-1], Turn(turns[-1].question)], context, images)
        spans: list[Span] = []
        done, place = 0, 0  # of `marked` and of `whole`
        for turn, mark in zip(turns, marks, strict=True):
            end = marked.find(mark, done)
            before, start = marked[done:end], place + end - done
            forms = _forms(self.harmless_answer(turn.answer or ""))
            answer = next((form for form in forms if whole.startswith(form, start)), None)
            if end < 0 or answer is None or not whole.startswith(before, place):
                break
            spans.append((self._thought(whole, place, start), start + len(answer)))
            done, place = end + len(mark), start + len(answer)
        if len(spans) < len(turns) or marked[done:] != whole[place:]:
            raise SampleError(
                f"the chat template changes what answer {len(spans) + 1} says, or writes other text around it than "
                "around another answer; it cannot be told what to learn"
            )
        gap = whole[len(asked) : spans[-1][0]] if whole.startswith(asked) else ""
        if gap and not gap.strip():  # blanks that are the model's to write, as the question ends before them
            spans = [(start - len(gap) * whole.endswith(gap, 0, start), end) for start, end in spans]
        return whole, spans

    def _thought(self, whole: str, before: int, start: int) -> int:
        """Return where an answer that starts at `start` begins together with what the model is to think before it.

        An empty thought is the model's to write only where it is asked to think; elsewhere the template writes it.
        """
        begin = whole.rfind(THOUGHT[0], before, start)
        thought = whole[begin:start].strip() if begin >= 0 else ""
        if not thought.endswith(THOUGHT[1]):
            return start
        said = thought.removeprefix(THOUGHT[0]).removesuffix(THOUGHT[1]).strip()
        return begin if said or self.thinking else start

    def _chat_template(self, messages: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]]) -> str:
        begin = messages[-1]["role"] != "assistant"
        given: Any = messages if self.parts else [prompts.in_parts(message) for message in messages]
        try:
            text = self._templated(given, begin, tools)
        except TemplateError as error:
            if messages[0]["role"] != "system":
                raise OptionError(f"the chat template of this model does not take the conversation: {error}") from None
            text = self._templated(given[1:], begin, tools)  # some have no system role
        if not self.parts:
            return text
        # templates of some models write the first token themselves; `tokenize` adds it for all
        return text.removeprefix(self.tokenizer.bos_token or "") if first_tokens(self.tokenizer) else text

    def _templated(self, messages: Any, begin: bool, tools: Sequence[Mapping[str, Any]]) -> str:
        switch: dict[str, Any] = {"tools": list(tools)} if tools else {}
        switch |= {"enable_thinking": self.thinking} if "enable_thinking" in str(self.chat_template) else {}
        return write_prompt(self.processor, messages, begin, **switch)

    def _marked(self, prompt: str) -> str:
        """Return a prompt that no chat template wrote with the model's own mark for each image."""
        inner: Any = self.processor
        mark = getattr(inner, "boi_token", None) or getattr(inner, "image_token", None)
        return prompt if mark is None else prompt.replace(prompts.IMAGE, str(mark))


def _parted(answer: str) -> tuple[str, str]:
    """Return the thought an answer begins with, which templates write apart or leave out, and what it then says."""
    thought, end, said = answer.rpartition(THOUGHT[1])
    return (thought + end, said) if end and thought.lstrip().startswith(THOUGHT[0]) else ("", answer)


def _forms(answer: str) -> list[str]:
    """Return how a template may write an answer, without the thought before it."""
    said = _parted(prompts.clean(answer))[1]
    return list(dict.fromkeys([said, said.strip(), said.lstrip(), said.rstrip()]))
