"""Questions about a picture: open, with lettered options, and yes/no.

Wrong values come from other classes of the split, as often as they are true there, and "no" is right as often as
"yes", so neither the wording nor the value asked about gives the answer away.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from string import ascii_uppercase
from typing import Any

from camml.factpix.catalog import Fact
from camml.factpix.samples import image_path
from camml.factpix.wording import NEW, SEEN, Words

OPEN, CHOICE, YESNO = "open", "choice", "yesno"
UNANSWERABLE = "unanswerable"

OPTIONS = 4
ONE_OPTION = "Answer with the right option."
"""How a question with options ends. Its answer is the option's text; for scoring its letter is as good."""

ATTEMPTS = 200
"""So often a wrong value is drawn before a question is given up: everything drawn may happen to be true."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of questions: one picture of a class, with the facts that may be asked."""

    topic: str
    key: str
    style: str
    facts: Mapping[str, Fact]
    rivals: Mapping[str, Sequence[str]]


class Asker:
    """Makes the questions of one file about one kind of subject.

    Args:
      split: what `meta.split` says.
      words: of the topic, or of the notes.
      pool: the facts of every class whose values may serve as wrong ones.
      kinds: the share of fields of which a question of each kind is asked, in [0, 1].
      new_wordings: the share of questions in a wording that training does not use.
    """

    def __init__(
        self,
        split: str,
        words: Words,
        pool: Sequence[Mapping[str, Fact]],
        kinds: Mapping[str, float],
        new_wordings: float = 0.0,
    ) -> None:
        self._split, self._words, self._kinds, self._new_wordings = split, words, kinds, new_wordings
        self._pool = {field: [facts[field] for facts in pool if field in facts] for field in words.fields}
        self._said: Counter[tuple[str, str]] = Counter()
        self._places: Counter[int] = Counter()

    def ask(self, subject: Subject, rng: Random) -> Iterator[dict[str, Any]]:
        """Ask questions about a subject, as LLaVA JSON."""
        for field, fact in subject.facts.items():
            for kind, share in self._kinds.items():
                if rng.random() < share and (kind == YESNO or self._words.asks(field)):
                    wording = NEW if rng.random() < self._new_wordings else SEEN
                    meta = {"field": field, "kind": kind, "wording": wording}
                    question = self._question(kind, field, fact, subject, wording, rng)
                    if question is not None:
                        yield self._record(subject, *question, meta)

    def _question(
        self, kind: str, field: str, fact: Fact, subject: Subject, wording: str, rng: Random
    ) -> tuple[str, str, dict[str, Any]] | None:
        """Return text, answer and what differs in its meta; None where there are too few wrong values."""
        if kind == OPEN:
            accept = [*fact.values[1:], *fact.accept]
            return self._words.ask(field, wording, rng), fact.answer, {"accept": accept} if accept else {}
        if kind == YESNO:
            value = self._checked(field, fact, subject, rng)
            if value is None:
                return None
            answer = "yes" if value in fact.values else "no"
            return self._words.check(field, value, wording, rng), answer, {"value": value}
        wrong = self._wrong(field, fact, (), OPTIONS - 1, rng)
        if len(wrong) < 2:
            return None
        place = self._place(len(wrong) + 1, rng)
        options = [*wrong[:place], fact.answer, *wrong[place:]]
        lines = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
        text = "\n".join([self._words.ask(field, wording, rng), *lines, ONE_OPTION])
        return text, fact.answer, {"answer": ascii_uppercase[place], "choices": options}

    def _place(self, options: int, rng: Random) -> int:
        """Choose where the right option goes: one of the places where it has been least often."""
        least = min(self._places[place] for place in range(options))
        place = rng.choice([place for place in range(options) if self._places[place] == least])
        self._places[place] += 1
        return place

    def _checked(self, field: str, fact: Fact, subject: Subject, rng: Random) -> str | None:
        """Choose the value to ask about, true and wrong in turn."""
        wrong_next = self._said[field, "no"] < self._said[field, "yes"]
        if wrong_next:
            wrong = self._wrong(field, fact, subject.rivals.get(field, ()), 1, rng)
            value = wrong[0] if wrong else None
        else:
            value = rng.choice(fact.values)
        if value is not None:
            self._said[field, "no" if wrong_next else "yes"] += 1
        return value

    def _wrong(self, field: str, fact: Fact, rivals: Sequence[str], count: int, rng: Random) -> list[str]:
        """Return up to `count` different values that are not true of the fact."""
        taken = {fold(value) for value in (*fact.values, *fact.accept)}
        values: list[str] = []
        for _ in range(ATTEMPTS):
            if len(values) == count:
                break
            value = rng.choice(rivals) if rivals else rng.choice(rng.choice(self._pool[field]).values)
            if fold(value) not in taken:
                taken.add(fold(value))
                values.append(value)
        return values

    def _record(
        self, subject: Subject, text: str, answer: str, more: Mapping[str, Any], about: Mapping[str, str]
    ) -> dict[str, Any]:
        topic, style, key = subject.topic, subject.style, subject.key
        meta = {"topic": topic, "class": key, "style": style, "split": self._split, **about, "answer": answer, **more}
        return {
            "id": f"{self._split}/{topic}/{style}/{key}/{about['field']}/{about['kind']}",
            "image": image_path(topic, style, key),
            "conversations": [{"from": "human", "value": f"<image>\n{text}"}, {"from": "gpt", "value": answer}],
            "meta": meta,
        }


def fold(text: str) -> str:
    """Return `text` without case, accents and punctuation; values that fold alike count as the same."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(char))
    return re.sub(r"\W+", " ", plain).strip()
