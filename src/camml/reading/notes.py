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

REFUSED = 0.25
"""Share of the questions about a note with a sentence left out that are to be refused, whichever comes first: a model
that saw refusals of first questions alone would refuse these too often.
"""

ATTEMPTS = 20
"""So often a value is drawn that no other slot of the note has."""

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_SLOT = re.compile(r"\{(\w+):([^}]+)\}")
_RANGE = re.compile(r"(~?)(\d+)(?:\.(\d+))?\.\.(\d+(?:\.\d+)?)(.*)")
_YEARS = re.compile(r"date (\d+)\.\.(\d+)")
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
        """Return up to `turns` questions, no two about one slot; some of them are to be refused."""
        by_slot: dict[str, Asked] = {}
        for question in rng.sample(self.answered, len(self.answered)):
            by_slot.setdefault(question.field, question)
        untold = rng.sample(self.untold, len(self.untold))
        return [
            untold.pop() if untold and rng.random() < REFUSED else question
            for question in list(by_slot.values())[:turns]
        ]


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
        taken = {fact.answer for fact in facts.values()}
        values = (_value(slot[2], rng) for _ in range(ATTEMPTS))
        # Two people, or two days, of one note are not the same, or it would not matter which of them a question means.
        value = next((value for value in values if value not in taken), "") or _value(slot[2], rng)
        facts[slot[1]] = Fact((value[0].upper() + value[1:] if slot.start() == 0 else value,))
        return facts[slot[1]].answer

    return _SLOT.sub(put, pattern)


def _value(make: str, rng: Random) -> str:
    """Return what a slot is filled with: see the head of `words/notes/letters.toml`."""
    if make in ("person", "place", "firm"):
        return invention.invent({"type": make}, parts(), rng).answer
    if make == "first":
        return rng.choice(parts().firsts)
    if make == "day":
        return rng.choice(DAYS)
    if make == "clock":
        return f"{rng.randint(6, 23)}:{rng.choice(('00', '10', '15', '30', '45'))}"
    if make.startswith("code "):
        return invention.code(make.removeprefix("code "), parts(), rng)
    if years := _YEARS.fullmatch(make):
        return invention.day(rng.randint(int(years[1]), int(years[2])), rng)
    if limits := _RANGE.fullmatch(make):
        return _number(limits, rng)
    return rng.choice(make.split("|"))


def _number(limits: re.Match[str], rng: Random) -> str:
    """Return a number between two limits with its unit, with as many decimals as the lower limit has."""
    spelled, low, decimals, high, unit = limits.groups(default="")
    if not decimals:
        number = rng.randint(int(low), int(high))
        return f"{_in_words(number) if spelled else number}{unit}"
    return f"{rng.uniform(float(f'{low}.{decimals}'), float(high)):.{len(decimals)}f}{unit}"


def _in_words(number: int) -> str:
    """Return a number from 1 to 99 in words."""
    small, tens = _SMALL.split(), _TENS.split()
    if number < 20:
        return small[number - 1]
    word = tens[number // 10 - 2]
    return f"{word}-{small[number % 10 - 1]}" if number % 10 else word
