"""Prompts of language models, word for word: prompt styles, and the places where features go.

A prompt is text with two private-use characters in it, one where the context tokens go and one where the image goes.
Text of users can hold neither, so no question can move or forge a placeholder.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from camml.errors import OptionError, UnknownNameError

CONTEXT = "\ue000"
IMAGE = "\ue001"

Message = Mapping[str, Any]
"""A message as chat templates take it: `role`, `content`, and what else there is about tools."""
ChatTemplate = Callable[[list[dict[str, Any]]], str]
"""Messages of `role` and `content` to the text a model was trained on, up to where its answer begins.

In a content the character `IMAGE` stands for a picture.
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer; the answer is None where the model is to give it.

    Attributes:
      images: pictures that came with the question, for models that look at several.
      steps: messages between question and answer: calls of tools by the assistant, and their results.
    """

    question: str
    answer: str | None = None
    images: tuple[Path | Image.Image, ...] = ()
    steps: tuple[Message, ...] = ()

    def map_texts(self, change: Callable[[str], str], change_answer: Callable[[str], str] | None = None) -> "Turn":
        """Return the turn with other texts.

        Args:
          change: gives them; `change_answer` those of answers, where they are special.
        """
        answer = self.answer and (change_answer or change)(self.answer)
        steps = tuple(map_texts(step, change) for step in self.steps)
        return replace(self, question=change(self.question), answer=answer, steps=steps)


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return a document of JSON with all texts in it, keys too, as `change` gives them."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): map_texts(inner, change) for key, inner in value.items()}
    return [map_texts(inner, change) for inner in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True, slots=True)
class Style:
    """The wording of the first question, by what comes with it, and of the conversation around it.

    Attributes:
      context_image: wording with context and image; `{context}`, `{image}` and `{question}` mark the places.
      context_only, image_only: the same with one of the two.
      vicuna: the conversation is Vicuna's; otherwise it is the chat template of the model's own tokenizer.
      system: what stands in the place of the template's own system message, where there is a context or an image.
    """

    context_image: str
    context_only: str
    image_only: str
    vicuna: bool
    system: str | None = None


def _official(kind: str) -> Style:
    """Return the wording of the published training data; "answerthe" is how that data spells it."""
    start = (
        "This is the useful context information for this question: {context}, which contains previous "
        f"{kind}question answering examples, please use this context information to answerthe following "
        f"{kind}question. "
    )
    return Style(
        context_image=start + "The image for this question: {image}\nThe question is: {question}",
        context_only=start + "There is no image for this question. The question is: {question}",
        image_only="{image}\n{question}",
        vicuna=True,
    )


STYLES: Mapping[str, Style] = {
    "official": _official(""),
    "official_scienceqa": _official("scientific "),
    "chat": Style(
        context_image="Examples that may help: {context}\nThe image: {image}\n{question}",
        context_only="Examples that may help: {context}\n{question}",
        image_only="The image: {image}\n{question}",
        vicuna=False,
    ),
    "bare": Style(
        context_image="{context}{image}\n{question}",
        context_only="{context}\n{question}",
        image_only="{image}\n{question}",
        vicuna=False,
        system="",
    ),
}
"""Prompt styles by name. A model needs the one it was trained with; `bare` costs the fewest tokens."""

VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


def style(name: str) -> Style:
    """Return the style called `name`.

    Raises:
      UnknownNameError: there is none; the message lists those there are.
    """
    if name not in STYLES:
        raise UnknownNameError(f"no prompt style {name!r}; there are: {', '.join(STYLES)}")
    return STYLES[name]


def clean(text: str) -> str:
    """Remove the two characters that mark places from `text`."""
    return text.replace(CONTEXT, "").replace(IMAGE, "")


def word(wording: Style, question: str, *, context: bool, images: int) -> str:
    """Return the user's first turn: the question with the places for what comes with it."""
    pattern = {
        (True, True): wording.context_image,
        (True, False): wording.context_only,
        (False, True): wording.image_only,
        (False, False): "{question}",
    }[context, images > 0]
    return pattern.format(context=CONTEXT, image=IMAGE * images, question=clean(question))


def render(
    style_name: str,
    turns: Sequence[Turn],
    *,
    context: bool,
    image: bool | int,
    chat_template: ChatTemplate | None = None,
) -> str:
    """Return the whole prompt of a conversation whose last answer is still to come, or which is complete.

    Context and images belong to the first question, but for images that a later turn has.

    Args:
      image: how many images there are.

    Raises:
      UnknownNameError: no such style.
      OptionError: the style speaks through the tokenizer's chat template, and there is none; or it knows no tools.
    """
    wording = style(style_name)
    first = int(image) - sum(len(turn.images) for turn in turns[1:])
    said = [turn.map_texts(clean) for turn in turns]
    said = [
        replace(turn, question=show(turn) if number else word(wording, turn.question, context=context, images=first))
        for number, turn in enumerate(said)
    ]
    if wording.vicuna:
        return vicuna(said)
    if chat_template is None:
        raise OptionError(f"prompt style {style_name!r} needs a tokenizer with a chat template; or use 'official'")
    chat = messages(said)
    if wording.system is not None and (context or image):
        chat.insert(0, {"role": "system", "content": wording.system})
    return chat_template(chat)


def show(turn: Turn) -> str:
    """Return the question of a turn with the places of its images before it."""
    return f"{IMAGE * len(turn.images)}\n{turn.question}" if turn.images else turn.question


def vicuna(turns: Sequence[Turn]) -> str:
    """Render the conversation as Vicuna v1.1 and later were trained on it.

    Source: the template `vicuna_v1` of the published training code.

    Raises:
      OptionError: there are calls of tools in it, which Vicuna does not know.
    """
    if any(turn.steps for turn in turns):
        raise OptionError("a model that is asked as Vicuna was trained knows no tools")
    text = VICUNA_SYSTEM + " "
    for turn in turns:
        text += f"USER: {turn.question} ASSISTANT:" + ("" if turn.answer is None else f" {turn.answer}</s>")
    return text


def messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Return the conversation in the form that a chat template takes."""
    chat: list[dict[str, Any]] = []
    for turn in turns:
        chat += [{"role": "user", "content": turn.question}, *map(dict, turn.steps)]
        if turn.answer is not None:
            chat.append({"role": "assistant", "content": turn.answer})
    return chat


def in_parts(message: Message) -> dict[str, Any]:
    """Return a message whose images are parts of their own, as chat templates of vision-language models want it."""
    parts: list[dict[str, str]] = []
    for number, text in enumerate(message["content"].split(IMAGE)):
        parts += [{"type": "image"}] if number else []
        parts += [{"type": "text", "text": text}] if text else []
    return {**message, "content": parts}


def split(prompt: str) -> list[str]:
    """Split a prompt into its pieces in order: texts, and `CONTEXT` or `IMAGE` on their own; no piece is empty."""
    return [piece for piece in re.split(f"([{CONTEXT}{IMAGE}])", prompt) if piece]


@dataclass(frozen=True, slots=True)
class Paste:
    """The layout of samples' texts in a prompt, before the question.

    Attributes:
      start: what comes before the texts; `first` before the nearest, `each` before every other one.
      ask: the question, with the place `{question}`.
      nearest_last: the nearest text stands next to the question.
    """

    ask: str = "Question: {question}"
    start: str = ""
    first: str = ""
    each: str = ""
    nearest_last: bool = False


PASTES: Mapping[str, Paste] = {
    "plain": Paste(),
    "brief": Paste(ask="Question: {question}\nAnswer with a word or a short phrase only."),
    "nearest_last": Paste(ask="Question: {question}\nAnswer with a word or a short phrase only.", nearest_last=True),
    "ranked": Paste(
        start="Facts about pictures that look like the one asked about.\n\n",
        first="Best match: ",
        each="Weaker match: ",
        ask="Answer from the best match, with a word or a short phrase only.\nQuestion: {question}\nAnswer:",
    ),
    "document": Paste(
        start="Read the text, then answer the question with words from the text.\n\nText:\n",
        ask="Question: {question}\nShort answer:",
    ),
}
"""Wordings of the baseline that reads texts of samples; which one is best depends on the model, so try them."""


def paste(question: str, texts: Sequence[str], wording: str = "plain") -> str:
    """Return a user's message with the texts of samples, nearest first, before the question.

    Args:
      wording: one of PASTES; without texts it says nothing but how to answer.

    Raises:
      UnknownNameError: there is no such wording.
    """
    if wording not in PASTES:
        raise UnknownNameError(f"no prompt style {wording!r} for texts in the prompt; there are: {', '.join(PASTES)}")
    chosen = PASTES[wording]
    known = [text.strip() for text in texts if text.strip()]
    if not known:
        return question if wording == "plain" else chosen.ask.format(question=question)
    marked = [(chosen.each if place else chosen.first) + text for place, text in enumerate(known)]
    body = "\n\n".join(reversed(marked) if chosen.nearest_last else marked)
    return f"{chosen.start}{body}\n\n{chosen.ask.format(question=question)}"
