"""Rows of which a reader sees the passages that a question asks for alone, as it does of long texts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from camml.reading.questions import Asked, Scene
from camml.reading.records import Record
from camml.refusals import REFUSAL

Shorten = Callable[[str, Sequence[str]], list[str]]
"""Takes a question and texts, nearest first; returns what is read of each, "" of one for which there is no room."""

ABOUT_ONE = ("open", "called", "untold", "stranger", "check", "bound")
"""Forms of questions that the text of one record answers."""

PUT_OFF = 0.5
"""Share of the rows that begin with another question, if they can, than one that no text answers: some questions have
an answer that is not read, and about one in four is to be refused.
"""


def shorten(scene: Scene, asked: Sequence[Asked], texts: Shorten, rng: Random) -> tuple[list[Asked], list[Record]]:
    """Return the questions that can be asked of what is read of a scene's records for the first one, and these.

    The first question is refused if its answer stands in no passage that is read: a reader must say so, too, and not
    take the value of another record. Of the others those stay that are answered.

    Args:
      asked: at least one is about one record.
    """
    about_one = [question for question in asked if question.form in ABOUT_ONE]
    answered = [question for question in about_one if question.answer != REFUSAL]
    first = answered[0] if answered and rng.random() < PUT_OFF else about_one[0]
    read = texts(first.text, [record.text for record in scene.records])
    records = [replace(record, text=text) for record, text in zip(scene.records, read, strict=True)]
    target = records[next(place for place, record in enumerate(scene.records) if record is scene.target)]
    known = first.answer == REFUSAL or _told(first, target)
    begin = first if known else replace(first, form="unread", answer=REFUSAL)
    others = [question for question in answered if question is not first and _told(question, target)]
    return [begin, *others], records


def _told(question: Asked, target: Record) -> bool:
    """Return whether that which a question is about stands in what is read of its record."""
    value = target.name if question.form == "called" else target.facts[question.field].answer
    return value.lower() in target.text.lower()
