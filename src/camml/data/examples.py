"""Conversations with their contexts to rows of tokens, of which only the answers are learned."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch.utils.data import Dataset

from camml.data.llava_json import Conversation
from camml.errors import InputError, OptionError, SampleError
from camml.model import CamMLProcessor
from camml.model.modeling import IGNORED
from camml.prompts import Turn
from camml.types import Context, Sample

Key = tuple[int, int]
"""An epoch and a row: all that the content of an example depends on, besides the seed."""

ContextOf = Callable[[str], Context]


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a batch, before padding.

    Attributes:
      input_ids: the whole conversation, placeholders in place.
      labels: the same where a token is learned, else `IGNORED`.
      image: of the first question.
      samples: the context, nearest first.
    """

    id: str
    input_ids: list[int]
    labels: list[int]
    image: Path | None
    samples: tuple[Sample, ...]


def build(conversation: Conversation, samples: Sequence[Sample], processor: CamMLProcessor, max_length: int) -> Example:
    """The row of a conversation.

    An answer is found by what the model sees when it is asked: the tokens of the prompt up to that answer must be just
    the first tokens of the row. What is learned is the answer and the token that ends it.

    Args:
      max_length: tokens of a row at most; the end of a longer conversation is cut off, never a placeholder.

    Raises:
      SampleError: the tokens of prompt and answer cannot be told apart, or nothing is left to learn.
    """
    context, image = bool(samples), conversation.image is not None

    def tokens(turns: Sequence[Turn]) -> list[int]:
        return processor.tokenize(processor.render(turns, context, image))

    input_ids = tokens(conversation.turns)
    labels = [IGNORED] * len(input_ids)
    for number, turn in enumerate(conversation.turns):
        before = conversation.turns[:number]
        asked = tokens([*before, Turn(turn.question)])
        whole = number == len(conversation.turns) - 1
        answered = input_ids if whole else tokens([*before, turn])
        start, end = len(asked), len(answered)
        if input_ids[:start] != asked or input_ids[:end] != answered:
            raise SampleError(_mismatch(conversation, number, processor))
        end = start + _until_end(answered[start:], processor)
        labels[start:end] = input_ids[start:end]
    input_ids, labels = _cut(conversation, input_ids, labels, processor, max_length)
    return Example(conversation.id, input_ids, labels, conversation.image, tuple(samples))


def _until_end(answer: Sequence[int], processor: CamMLProcessor) -> int:
    """How many tokens of an answer are learned: up to the last special one, behind which a template may put a newline.

    Raises:
      OptionError: no special token ends the answer, so the model would never learn to stop.
    """
    special = special_ids(processor)
    for length in range(len(answer), 0, -1):
        if answer[length - 1] in special:
            return length
    text = processor.decode(answer, skip_special_tokens=False)
    raise OptionError(
        f"with prompt style {processor.prompt_style!r} no special token of this tokenizer ends an answer "
        f"({text[-60:]!r}); choose another --prompt_style"
    )


def _cut(
    conversation: Conversation,
    input_ids: list[int],
    labels: list[int],
    processor: CamMLProcessor,
    max_length: int,
) -> tuple[list[int], list[int]]:
    """The first `max_length` tokens.

    Raises:
      SampleError: a placeholder would go, or nothing is left to learn.
    """
    slots = (processor.context_token_id, processor.image_token_id)
    lost, kept = input_ids[max_length:], labels[:max_length]
    if any(token in slots for token in lost) or all(label == IGNORED for label in kept):
        raise SampleError(
            f"sample {conversation.id!r}: its prompt takes all of the {max_length} tokens of --model_max_length and "
            "leaves nothing to learn; raise it, or leave the sample out"
        )
    return input_ids[:max_length], kept


def _mismatch(conversation: Conversation, number: int, processor: CamMLProcessor) -> str:
    turn = conversation.turns[number]
    return (
        f"sample {conversation.id!r}: the tokens before answer {number + 1} ({(turn.answer or '')[:40]!r}) are "
        f"others in the whole conversation than when the model is asked (prompt style {processor.prompt_style!r}); "
        "it cannot be told what to learn"
    )


def trained(example: Example) -> list[list[int]]:
    """The stretches of tokens that are learned."""
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
    """That what an example trains, read as text, is the answers of its conversation; the last one may be cut short.

    Raises:
      SampleError: it is something else; the message shows both.
    """
    stretches = trained(example)
    if not stretches:
        raise SampleError(f"sample {example.id!r}: no token is trained")
    special = special_ids(processor)
    cut = example.labels[-1] not in special
    answers = [turn.answer or "" for turn in conversation.turns]
    for number, stretch in enumerate(stretches):
        text = str(processor.tokenizer.decode([token for token in stretch if token not in special]))
        answer = answers[number] if number < len(answers) else ""
        got, wanted = "".join(text.split()), "".join(answer.split())  # tokenizers differ in the spaces they restore
        if got != wanted and not (cut and number == len(stretches) - 1 and got and wanted.startswith(got)):
            shown = processor.decode(stretch, skip_special_tokens=False)
            raise SampleError(
                f"sample {example.id!r}: the mask is wrong: the trained tokens say {shown!r}, the answer is {answer!r}"
            )


def special_ids(processor: CamMLProcessor) -> set[int]:
    """The ids of all tokens that stand for no text."""
    tokenizer = processor.tokenizer
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids)


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
        """The example of a row in an epoch, counted from 0.

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
