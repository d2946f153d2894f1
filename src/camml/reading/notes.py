"""Notes in plain prose, and questions about them whose answers are words of theirs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from camml.factpix import invention
from camml.factpix.catalog import Fact
from camml.reading.questions import Asked
from camml.reading.records import Record
from camml.reading.words import Kind, note_lines, parts
from camml.refusals import REFUSAL

NOTE = Kind(noun="note", plural="notes", named="", fields=())
"""The kind of record that a note is."""

LEFT_OUT = 0.35
"""Share of the sentences that are left out; a question that they would answer is to be refused."""

REFUSED = 0.6
"""Share, among notes with a sentence left out, of those whose first question is to be refused."""

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_SLOT = re.compile(r"\{(\w+):([^}]+)\}")
_RANGE = re.compile(r"(~?)(\d+)\.\.(\d+)(.*)")
_POINTS = re.compile(r"\b(?:it|its)\b", re.IGNORECASE)
_SMALL = (
    "one two three four five six seven eight nine ten "
    "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with slots, and the questions that it answers: the question, the slot with the answer."""

    pattern: str
    questions: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Note:
    """A note as a record, questions that it answers, and such as it does not."""

    record: Record
    answered: Sequence[Asked]
    untold: Sequence[Asked]

    def ask(self, turns: int, rng: Random) -> list[Asked]:
        """Return up to `turns` questions, no two about one slot; of some notes the first one is to be refused."""
        by_slot: dict[str, Asked] = {}
        for question in rng.sample(self.answered, len(self.answered)):
            by_slot.setdefault(question.field, question)
        asked = list(by_slot.values())[:turns]
        if self.untold and rng.random() < REFUSED:
            asked[0] = rng.choice(self.untold)
        return asked


def invent(rng: Random, count: int) -> list[Note]:
    """Return new notes, no two of which are about the same matter."""
    return [_filled(sentences, rng) for sentences in rng.sample(patterns(), count)]


def needs_nearest(asked: Sequence[Asked]) -> bool:
    """Return whether a question says "it", so that only its note's being the nearest tells which one it is about."""
    return any(_POINTS.search(question.text) for question in asked)


@cache
def patterns() -> Sequence[Sequence[Sentence]]:
    """Return all notes before anything is filled in."""
    return [[_sentence(*lines) for lines in sentences] for sentences in note_lines()]


def _sentence(pattern: str, *lines: str) -> Sentence:
    pairs = (line.rsplit(" > ", 1) for line in lines)
    return Sentence(pattern, [(question, slot) for question, slot in pairs])


def _filled(sentences: Sequence[Sentence], rng: Random) -> Note:
    told = [sentences[0], *(sentence for sentence in sentences[1:] if rng.random() >= LEFT_OUT)]
    facts: dict[str, Fact] = {}
    text = " ".join(_fill(sentence.pattern, facts, rng) for sentence in told)
    answered = [
        Asked("open", slot, question, facts[slot].answer) for sentence in told for question, slot in sentence.questions
    ]
    untold = [
        Asked("untold", slot, question, REFUSAL)
        for sentence in sentences
        if sentence not in told
        for question, slot in sentence.questions
    ]
    return Note(Record(NOTE, "", facts, {}, text, "note"), answered, untold)


def _fill(pattern: str, facts: dict[str, Fact], rng: Random) -> str:
    """Return a sentence with its slots filled; what they were filled with is added to `facts`."""

    def put(slot: re.Match[str]) -> str:
        value = _value(slot[2], rng)
        facts[slot[1]] = Fact((value[0].upper() + value[1:] if slot.start() == 0 else value,))
        return facts[slot[1]].answer

    return _SLOT.sub(put, pattern)


def _value(make: str, rng: Random) -> str:
    """Return what a slot is filled with: see the head of `words/notes.toml`."""
    if make in ("person", "place", "firm"):
        return invention.invent({"type": make}, parts(), rng).answer
    if make == "first":
        return rng.choice(parts().firsts)
    if make == "day":
        return rng.choice(DAYS)
    if make == "clock":
        return f"{rng.randint(6, 23)}:{rng.choice(('00', '10', '15', '30', '45'))}"
    if limits := _RANGE.fullmatch(make):
        spelled, low, high, unit = limits.groups()
        number = rng.randint(int(low), int(high))
        return f"{_in_words(number) if spelled else number}{unit}"
    return rng.choice(make.split("|"))


def _in_words(number: int) -> str:
    """Return a number from 1 to 99 in words."""
    small, tens = _SMALL.split(), _TENS.split()
    if number < 20:
        return small[number - 1]
    word = tens[number // 10 - 2]
    return f"{word}-{small[number % 10 - 1]}" if number % 10 else word
