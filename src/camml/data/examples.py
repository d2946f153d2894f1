"""Conversations with their contexts to rows of tokens, of which only the answers are learned."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from camml.data.llava_json import Conversation
from camml.errors import ImageError, InputError, OptionError, SampleError
from camml.model import CamMLProcessor
from camml.model.batching import cut
from camml.model.llava_processor import offsets
from camml.model.modeling import IGNORED
from camml.model.rendering import THOUGHT
from camml.passages import Span
from camml.types import Context, Sample

Key = tuple[int, int]
"""An epoch and a row: all that the content of an example depends on, besides the seed."""

ContextOf = Callable[[str], Context]

Tokens = list[tuple[int, Span]]
"""The ids of a prompt, each with the characters it stands for."""


ADDED_AT_THE_END = 2
"""So many tokens a processor may add to every prompt (PaliGemma's a line break)."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a batch, before padding.

    Attributes:
      input_ids: the whole conversation, placeholders in place.
      labels: the same where a token is learned, else `IGNORED`.
      image: of the first question.
      samples: the context, nearest first.
      row: what `CamMLProcessor.row` gave, where the number of an image's tokens depends on the image.
    """

    id: str
    input_ids: list[int]
    labels: list[int]
    image: Path | None
    samples: tuple[Sample, ...]
    row: dict[str, Any] | None = None


def build(conversation: Conversation, samples: Sequence[Sample], processor: CamMLProcessor, max_length: int) -> Example:
    """Return the row of a conversation.

    What is learned is each token that stands for a character of an answer, and what follows it up to the special token
    that ends it. The whole prompt is tokenised once. Where the template ends an answer by the next question alone, the
    last one gets the token that ends texts.

    Args:
      max_length: tokens of a row at most; the end of a longer conversation is cut off, never a placeholder.

    Raises:
      SampleError: the tokens of an answer cannot be told apart, nothing is left to learn, or the image cannot be used.
    """
    context, images = bool(samples), [] if conversation.image is None else [conversation.image]
    try:
        prompt, spans = processor.render_answers(conversation.turns, context, len(images))
    except SampleError as error:
        raise SampleError(f"sample {conversation.id!r}: {error}") from None
    if not prompt[spans[-1][1] :].strip() and processor.tokenizer.eos_token:  # the template ends no last answer
        prompt = prompt[: spans[-1][1]] + processor.tokenizer.eos_token
    row = None
    if processor.parts:
        expanded = processor.expanded(prompt, samples)
        added = len(expanded) - len(prompt)  # all of them before the first answer
        prompt, spans = expanded, [(start + added, end + added) for start, end in spans]
        tokens: Tokens = processor.processor.tokens(prompt)
        input_ids = [token for token, _ in tokens]
        labels = _learned(tokens, spans, prompt, processor)
    else:
        try:
            row = processor.row(prompt, images, samples)
        except ImageError as error:
            raise SampleError(f"sample {conversation.id!r}: {error}") from error
        input_ids = row["input_ids"][0].tolist()
        tokens = offsets(processor.tokenizer, prompt)
        labels = _at_the_end(_learned(tokens, spans, prompt, processor), tokens, input_ids, conversation.id)
    length = _kept(conversation, input_ids, labels, processor, max_length)
    if row is not None and length < len(input_ids):
        row = cut(row, length)
    return Example(conversation.id, input_ids[:length], labels[:length], conversation.image, tuple(samples), row)


def _learned(tokens: Tokens, spans: Sequence[Span], prompt: str, processor: CamMLProcessor) -> list[int]:
    """Return the labels of the tokens of a prompt whose answers are the characters `spans`.

    Raises:
      OptionError: no special token ends an answer, so the model would never learn to stop.
    """
    special = special_ids(processor)
    labels, place = [IGNORED] * len(tokens), 0
    for start, end in spans:
        while place < len(tokens) and not _overlaps(tokens[place][1], start, end):
            place += 1
        while place < len(tokens) and (_overlaps(tokens[place][1], start, end) or tokens[place][1][0] < end):
            labels[place] = tokens[place][0]
            place += 1
        while place < len(tokens) and tokens[place][0] not in special and _blank(prompt, tokens[place][1]):
            labels[place] = tokens[place][0]
            place += 1
        if place == len(tokens) or tokens[place][0] not in special:
            raise OptionError(
                f"with prompt style {processor.prompt_style!r} no special token of this tokenizer ends an answer "
                f"({prompt[max(start, end - 40) : end + 20]!r}); choose another --prompt_style"
            )
        labels[place] = tokens[place][0]
    return labels


def _overlaps(token: Span, start: int, end: int) -> bool:
    return token[0] < end and token[1] > start


def _blank(prompt: str, token: Span) -> bool:
    """Return whether a token stands for nothing but white space: a template may write some before what ends a turn."""
    return not prompt[token[0] : token[1]].strip()


def _at_the_end(labels: Sequence[int], tokens: Tokens, input_ids: Sequence[int], name: str) -> list[int]:
    """Return the labels of `input_ids`, in which more tokens than in `tokens` stand for the images.

    Images come before the first answer, so that all that is learned lies in the end that both have in common.

    Raises:
      SampleError: they do not end alike.
    """
    first = next((place for place, label in enumerate(labels) if label != IGNORED), len(labels))
    for added in range(ADDED_AT_THE_END + 1):
        length = len(input_ids) - added
        common = 0
        while common < min(len(tokens), length) and tokens[-1 - common][0] == input_ids[length - 1 - common]:
            common += 1
        if len(labels) - common <= first:
            tail = list(labels[len(labels) - common :])
            return [IGNORED] * (length - common) + tail + [IGNORED] * added
    raise SampleError(
        f"sample {name!r}: the tokens of its answers are others beside an image than alone; it cannot be told what to "
        "learn"
    )


def _kept(
    conversation: Conversation,
    input_ids: Sequence[int],
    labels: Sequence[int],
    processor: CamMLProcessor,
    max_length: int,
) -> int:
    """Return how many tokens of a row are kept.

    Raises:
      SampleError: a placeholder would go, or nothing is left to learn.
    """
    slots = (processor.context_token_id, processor.image_token_id)
    lost = input_ids[max_length:]
    if any(token in slots for token in lost) or all(label == IGNORED for label in labels[:max_length]):
        raise SampleError(
            f"sample {conversation.id!r}: its prompt takes all of the {max_length} tokens of --model_max_length and "
            "leaves nothing to learn; raise it, or leave the sample out"
        )
    return min(len(input_ids), max_length)


def trained(example: Example) -> list[list[int]]:
    """Return the stretches of tokens that are learned."""
    stretches: list[list[int]] = []
    before = IGNORED
    for label in example.labels:
        if label != IGNORED:
            if before == IGNORED:
                stretches.append([])
            stretches[-1].append(label)
        before = label
    return stretches


def check_masks(example: Example, conversation: Conversation, processor: CamMLProcessor) -> None:
    """Raise unless what an example trains, read as text, is the answers of its conversation.

    The last one may be cut short. What a model is to think before an answer may stand before it.

    Raises:
      SampleError: it is something else; the message shows both.
    """
    stretches = trained(example)
    if not stretches:
        raise SampleError(f"sample {example.id!r}: no token is trained")
    special = special_ids(processor)
    unfinished = example.labels[-1] not in special
    answers = [turn.answer or "" for turn in conversation.turns]
    for number, stretch in enumerate(stretches):
        text = str(processor.tokenizer.decode([token for token in stretch if token not in special]))
        answer = answers[number] if number < len(answers) else ""
        read, wanted = _bare(text), _bare(processor.harmless_answer(answer))
        short = unfinished and number == len(stretches) - 1 and (wanted.startswith(read) or THOUGHT[0] in text)
        if read != wanted and not (read and short):
            shown = processor.decode(stretch, skip_special_tokens=False)
            raise SampleError(
                f"sample {example.id!r}: the mask is wrong: the trained tokens say {shown!r}, the answer is {answer!r}"
            )


def _bare(text: str) -> str:
    """Return a text without reasoning before it, and without spaces, which tokenizers restore in different ways."""
    return "".join(text.rpartition(THOUGHT[1])[2].split())


def special_ids(processor: CamMLProcessor) -> frozenset[int]:
    """Return the ids of all tokens that stand for no text."""
    return _special_ids(processor.tokenizer, len(processor.tokenizer))


@lru_cache(maxsize=8)  # of tokenizers; some have thousands of such tokens, and every row asks
def _special_ids(tokenizer: PreTrainedTokenizerBase, _: int) -> frozenset[int]:
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(added | set(tokenizer.all_special_ids))


class TrainingRows(Dataset[Example]):
    """Conversations as examples, each with up to `shots` of its neighbors.

    Args:
      context_of: the neighbors of a conversation by its id, nearest first.
      shots: samples of a context at most; 0 for none.
      random_shots: take 1 to `shots` of them, drawn anew in every epoch.
      image_dropout: probability that the samples of a row come without their images, drawn anew in every epoch.
      seed: of these draws, which depend on nothing but seed, epoch and row, so that a resumed run draws the same.
      skipped: called with the reason where a row cannot be trained on; the next row takes its place. Without it, such
        a row is an error.
    """

    def __init__(
        self,
        conversations: Sequence[Conversation],
        context_of: ContextOf,
        processor: CamMLProcessor,
        *,
        shots: int,
        random_shots: bool = False,
        image_dropout: float = 0.0,
        seed: int = 0,
        max_length: int = 2048,
        skipped: Callable[[InputError], None] | None = None,
    ) -> None:
        self.conversations = conversations
        self.context_of = context_of
        self.processor = processor
        self.shots = shots
        self.random_shots = random_shots
        self.image_dropout = image_dropout
        self.seed = seed
        self.max_length = max_length
        self.skipped = skipped

    def __len__(self) -> int:
        return len(self.conversations)

    def __getitem__(self, key: Key | int) -> Example:
        epoch, row = key if isinstance(key, tuple) else (0, key)
        if self.skipped is None:
            return self.build(epoch, row)
        for place in range(row, row + len(self)):
            try:
                return self.build(epoch, place % len(self))
            except SampleError as error:
                self.skipped(error)
        raise SampleError("no sample can be trained on; each was named when it was skipped")

    def build(self, epoch: int, row: int) -> Example:
        """Return the example of a row in an epoch, counted from 0.

        Raises:
          SampleError: as `build`.
        """
        conversation = self.conversations[row]
        shots = self.shots
        if self.random_shots and shots > 1:
            shots = random.Random(f"{self.seed} {epoch} {row}").randint(1, shots)
        context = self.context_of(conversation.id)[:shots] if shots else ()
        samples = [neighbor.sample for neighbor in context]
        if random.Random(f"{self.seed} {epoch} {row} images").random() < self.image_dropout:
            samples = [replace(sample, image=None) for sample in samples]
        return build(conversation, samples, self.processor, self.max_length)
