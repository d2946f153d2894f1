"""Notes in plain prose, and questions about them whose answers are words of theirs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
"""Share of the sentences that are left out of short notes; a question that they would answer is to be refused."""

WHOLE, BUT_ONE = 0.35, 0.4
"""Shares of the notes that are told whole, and whole but for one sentence; the others are short. Answers then stand
anywhere in a long text: a model that learned from short ones alone does not look behind the first seventy tokens.
"""

REFUSED = 0.4
"""Share of the questions about a note with a sentence left out that are to be refused, whichever comes first: a model
that saw refusals of first questions alone would refuse these too often.
"""

EARLY = 0.5
"""Weight of a note's beginning where questions are drawn by the place of their answers; that of its end is 1 more."""

JOINTS = (" ", "\n", "\n\n")
"""Separators of two notes in one text."""

ATTEMPTS = 20
"""So often a value is drawn that no other slot of the note has."""

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_SLOT = re.compile(r"\{(\w+):([^}]+)\}")
_RANGE = re.compile(r"(~?)(\d+)(?:\.(\d+))?\.\.(\d+(?:\.\d+)?)(.*)")
_YEARS = re.compile(r"date (\d+)\.\.(\d+)")
_POINTS = re.compile(
    r"\b(?:it|its|this|that|these|those|they|them|their|he|him|his|she|her|hers|here|there)\b", re.IGNORECASE
)
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
        """Return up to `turns` questions, no two about one slot; some of them are to be refused.

        What stands late in the text is asked for more often, as many texts end before that place.
        """
        weighted = [(self._place(question) * rng.random(), question) for question in self.answered]
        by_slot: dict[str, Asked] = {}
        for _, question in sorted(weighted, key=lambda pair: pair[0], reverse=True):
            by_slot.setdefault(question.field, question)
        untold = rng.sample(self.untold, len(self.untold))
        return [
            untold.pop() if untold and rng.random() < REFUSED else question
            for question in list(by_slot.values())[:turns]
        ]

    def _place(self, question: Asked) -> float:
        """Return where in the text an answer stands: `EARLY` at its beginning, 1 + `EARLY` at its end."""
        return EARLY + self.record.text.find(question.answer) / len(self.record.text)

    def not_pointing(self) -> "Note":
        """Return the note less the questions that say "it" or "they": what else is told could be meant by these."""
        return replace(
            self,
            answered=[question for question in self.answered if not _POINTS.search(question.text)],
            untold=[question for question in self.untold if not _POINTS.search(question.text)],
        )

    def joined(self, other: "Note", rng: Random) -> "Note":
        """Return the note with the text of another before or behind its own, as texts about several matters have it.

        No question points, and none is about the other note.
        """
        texts = rng.sample([self.record.text, other.record.text], 2)
        return replace(self.not_pointing(), record=replace(self.record, text=rng.choice(JOINTS).join(texts)))


def invent(rng: Random, count: int) -> list[Note]:
    """Return new notes, no two of which are about the same matter."""
    return [_filled(sentences, rng) for sentences in rng.sample(patterns(), count)]


@cache
def patterns() -> Sequence[Sequence[Sentence]]:
    """Return all notes before anything is filled in."""
    return [[_sentence(*lines) for lines in sentences] for sentences in note_lines()]


def _sentence(pattern: str, *lines: str) -> Sentence:
    pairs = (line.rsplit(" > ", 1) for line in lines)
    return Sentence(pattern, [(question, slot) for question, slot in pairs])


def _filled(sentences: Sequence[Sentence], rng: Random) -> Note:
    told = _told(sentences, rng)
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


def _told(sentences: Sequence[Sentence], rng: Random) -> Sequence[Sentence]:
    """Return the sentences that are told, of which the first is one."""
    draw = rng.random()
    if draw < WHOLE or len(sentences) == 1:
        return sentences
    if draw < WHOLE + BUT_ONE:
        left_out = rng.choice(sentences[1:])
        return [sentence for sentence in sentences if sentence is not left_out]
    return [sentences[0], *(sentence for sentence in sentences[1:] if rng.random() >= LEFT_OUT)]


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
