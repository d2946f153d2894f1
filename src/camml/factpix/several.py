"""Questions that need several samples: prints of one picture, each with a number, a year, a price and a keeper.

Every stored picture of a class is a print, and what it is tells its own sample alone. So which is the oldest, or how
many somebody keeps, is read from all of them. All of it is invented.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from camml.factpix import notes, samples
from camml.factpix.catalog import Entry, Fact
from camml.factpix.questions import OPEN, YESNO
from camml.factpix.samples import image_path
from camml.factpix.wording import NEW, SEEN, words_of

Record = dict[str, Any]
YEARS, PRICES = (1701, 1999), (12, 990)

TALKATIVE = 0.4
"""Share of the samples that tell the facts of the class too."""


@dataclass(frozen=True, slots=True)
class Print:
    """One print of a picture."""

    style: str
    number: str
    year: int
    price: int
    keeper: str

    @property
    def facts(self) -> Mapping[str, Fact]:
        """The facts that its sample tells."""
        known = {"number": self.number, "year": str(self.year), "price": f"{self.price} crowns", "keeper": self.keeper}
        return {field: Fact((value,)) for field, value in known.items()}


def invent(kind: str, styles: Sequence[str], rng: Random) -> list[Print]:
    """Return a print for each style; numbers, years and prices differ, keepers are one or two.

    Args:
      kind: of the names, `notes.TRAIN` or `notes.LATE`.
    """
    years, prices = rng.sample(range(*YEARS), len(styles)), rng.sample(range(*PRICES), len(styles))
    keepers = [_keeper(kind, rng), _keeper(kind, rng)]
    numbers: list[str] = []
    while len(numbers) < len(styles):
        letters = notes.LETTERS[kind]
        number = f"{rng.choice(letters)}{rng.choice(letters)}-{rng.randrange(100, 1000)}"
        if number not in numbers:
            numbers.append(number)
    return [
        Print(style, number, year, price, rng.choice(keepers))
        for style, number, year, price in zip(styles, numbers, years, prices, strict=True)
    ]


def print_samples(topic: str, entry: Entry, split: str, prints: Sequence[Print], seed: int) -> list[Record]:
    """Return a sample for each print, with the stored picture of its style."""
    made = []
    for copy in prints:
        rng = Random(f"{seed}|{topic}|{entry.key}|{copy.style}|print")
        pattern = rng.choice(words_of("several").fields["tell"]["ask"])
        text, facts = pattern, dict(copy.facts)
        for field, value in (
            ("number", copy.number),
            ("year", copy.year),
            ("price", copy.price),
            ("keeper", copy.keeper),
        ):
            text = text.replace(f"{{{field}}}", str(value))
        if rng.random() < TALKATIVE:
            text, facts = f"{words_of(topic).tell(entry.facts, rng)} {text}", {**entry.facts, **facts}
        made.append(samples.record(topic, entry.key, copy.style, split, "#print", text, facts))
    return made


class SeveralAsker:
    """Makes the questions of one file.

    Args:
      split: what `meta.split` says.
      new_wordings: the share of questions in a wording that training does not use.
    """

    def __init__(self, split: str, new_wordings: float = 0.0) -> None:
        self._split, self._new_wordings = split, new_wordings
        self._said: Counter[tuple[str, bool]] = Counter()

    def ask(self, topic: str, key: str, style: str, prints: Sequence[Print], rng: Random) -> Iterator[Record]:
        """Yield one question of each sort: compare two, which of all, how many, yes or no."""
        two = rng.sample(prints, 2)
        for form, field, slots, answer, kind in (
            _compared(two, rng), _best(prints, rng), _counted(prints, rng), self._yesno(prints, rng)
        ):  # fmt: skip
            wording = NEW if rng.random() < self._new_wordings else SEEN
            text = words_of("several").ask(form, wording, rng)
            for slot, value in slots.items():
                text = text.replace(f"{{{slot}}}", value)
            meta = {"topic": topic, "class": key, "style": style, "split": self._split, "field": field, "kind": kind,
                    "wording": wording, "answer": answer, "form": form, "samples": len(prints)}  # fmt: skip
            if kind == YESNO:
                meta["value"] = " and ".join(slots.values())
            yield {
                "id": f"{self._split}/{topic}/{style}/{key}/{form}/{kind}",
                "image": image_path(topic, style, key),
                "conversations": [{"from": "human", "value": f"<image>\n{text}"}, {"from": "gpt", "value": answer}],
                "meta": meta,
            }

    def _yesno(self, prints: Sequence[Print], rng: Random) -> tuple[str, str, dict[str, str], str, str]:
        """Return a yes/no question about two prints; yes and no take turns where the prints allow it."""
        first, second = rng.sample(prints, 2)
        forms = ["is_older", "is_dearer", "same_keeper"]
        form = rng.choice(forms)
        yes = self._said[form, True] <= self._said[form, False]
        if form == "same_keeper":
            pairs = [(a, b) for a in prints for b in prints if a is not b and (a.keeper == b.keeper) is yes]
            if pairs:
                first, second = rng.choice(pairs)
            else:
                form = rng.choice(forms[:2])
                yes = self._said[form, True] <= self._said[form, False]
        if form != "same_keeper":
            more = first.year < second.year if form == "is_older" else first.price > second.price
            first, second = (first, second) if more is yes else (second, first)
        self._said[form, yes] += 1
        field = {"is_older": "year", "is_dearer": "price", "same_keeper": "keeper"}[form]
        return form, field, {"a": first.number, "b": second.number}, "yes" if yes else "no", YESNO


def _compared(two: Sequence[Print], rng: Random) -> tuple[str, str, dict[str, str], str, str]:
    form = rng.choice(("older", "newer", "dearer", "cheaper"))
    return form, "number", {"a": two[0].number, "b": two[1].number}, _first(form, two).number, OPEN


def _best(prints: Sequence[Print], rng: Random) -> tuple[str, str, dict[str, str], str, str]:
    form = rng.choice(("oldest", "newest", "dearest", "cheapest", "keeper"))
    best = _first(form, prints)
    return form, *(("keeper", {}, best.keeper) if form == "keeper" else ("number", {}, best.number)), OPEN


def _counted(prints: Sequence[Print], rng: Random) -> tuple[str, str, dict[str, str], str, str]:
    form = rng.choice(("count", "kept", "before", "before"))
    if form == "count":
        return form, "number", {}, str(len(prints)), OPEN
    if form == "kept":
        keeper = rng.choice(prints).keeper
        return form, "number", {"x": keeper}, str(sum(copy.keeper == keeper for copy in prints)), OPEN
    year = rng.choice([*(copy.year + 1 for copy in prints), rng.randint(*YEARS)])
    return form, "number", {"x": str(year)}, str(sum(copy.year < year for copy in prints)), OPEN


def _first(form: str, prints: Sequence[Print]) -> Print:
    """Return the print that comes first by age or price."""
    by_price = form in ("dearer", "cheaper", "dearest", "cheapest")
    turned = form in ("newer", "newest", "dearer", "dearest")
    return sorted(prints, key=lambda item: item.price if by_price else item.year, reverse=turned)[0]


def _keeper(kind: str, rng: Random) -> str:
    return f"{notes.name(kind, rng)} {notes.name(kind, rng)}"
