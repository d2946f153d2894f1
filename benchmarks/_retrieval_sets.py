"""What retrieval is measured on: a part of FactPix, and notes of the kind that people add to a store of flags."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

from camml import formats
from camml.types import Query, Sample

TOPICS = ("emoji", "flags", "maps", "stamps")
WITHOUT_PICTURE = 3
"""Of every so many validation classes, the samples of one are stored without their pictures."""
NAMED = {
    "capital": "What is the capital of {}?",
    "continent": "On which continent is {}?",
    "currency": "What is the currency of {}?",
    "country": "In which country is {}?",
    "group": "Which group does the emoji “{}” belong to?",
    "spanish": "What is “{}” called in Spanish?",
    "german": "What is “{}” called in German?",
    "theme": "What is the theme of the stamp “{}”?",
}
"""Questions in words about a thing by its name, by the fact that they ask for."""
QUESTIONS_A_CLASS = 3

THINGS = ("pump", "valve", "boiler", "truck", "door", "fan", "crane", "lamp", "sensor", "oven")
EVENTS = (
    ("{} was scrapped in May.", "What happened to {}?"),
    ("{} was painted blue last year.", "Which color has {}?"),
    ("{} stands in hall B, behind the stairs.", "Where is {}?"),
    ("{} needs the spare part 4711.", "Which spare part does {} need?"),
    ("{} belongs to Mrs. Novak.", "Whose is {}?"),
    ("{} was last serviced by Ito & Sons, who found a crack in the seal.", "Who looked after {}?"),
)
SYLLABLES = ("wex", "oru", "tam", "hil", "cyr", "dov", "na", "plu", "zen", "kif", "gar", "umi")
KEEPERS = 24
"""Notes about pictures that are there: all of one kind, so that the words of the question fit each of them."""


@dataclass(frozen=True)
class Asked:
    """A query and the ids of the samples that it should find."""

    query: Query
    right: frozenset[str]


@dataclass
class Set:
    """Samples, and queries by what they show."""

    name: str
    samples: list[Sample]
    rows: dict[str, list[Asked]] = field(default_factory=dict)

    def ask(self, row: str, query: Query, right: Sequence[str]) -> None:
        """Add a query to a row."""
        self.rows.setdefault(row, []).append(Asked(query, frozenset(right)))


def facts(data: Path, classes: int, others: int) -> Set:
    """Validation classes of FactPix among others.

    Args:
      data: what `camml bench-data build` wrote.
      classes: the most validation classes of each topic.
      others: samples of other classes.
    """
    samples = [_with_text_meta(sample) for sample in formats.read(data / "samples.json")]
    questions = json.loads((data / "validation.json").read_text())
    by_class: dict[str, list[dict[str, Any]]] = {}
    for record in questions:
        by_class.setdefault(_class(record["meta"]), []).append(record)
    chosen = [name for topic in TOPICS for name in _drawn([c for c in by_class if c.startswith(topic)], classes)]
    bare = set(chosen[::WITHOUT_PICTURE])
    of_class: dict[str, list[Sample]] = {}
    for sample in samples:
        of_class.setdefault(_class(sample.meta), []).append(sample)
    known = [sample for name in chosen for sample in of_class[name]]
    taken = {sample.id for sample in known}
    rest = _drawn([sample for sample in samples if sample.id not in taken], others)
    stored = [replace(s, image=None) if _class(s.meta) in bare else s for s in known]
    made = Set("FactPix", stored + rest)
    named = _by_name(made.samples)
    for name in chosen:
        right = [sample.id for sample in of_class[name]]
        asked, image = _drawn(by_class[name], QUESTIONS_A_CLASS), data / by_class[name][0]["image"]
        own = of_class[name][0].meta["facts"]
        words = [NAMED[kind].format(own["name"]) for kind in NAMED if kind in own][:QUESTIONS_A_CLASS]
        same_name = [*right, *named[(of_class[name][0].meta["topic"], own["name"])]]
        if name in bare:
            for text in words:
                made.ask("no picture stored: words that name it", Query(text), same_name)
                made.ask("no picture stored: picture and words that name it", Query(text, image), same_name)
            continue
        made.ask("picture only", Query("", image), right)
        for record in asked:
            text = record["conversations"][0]["value"].replace("<image>", "").strip()
            made.ask("picture and the question about it", Query(text, image), right)
        for text in words:
            made.ask("words only, which name it", Query(text), same_name)
            made.ask("picture and words that name it", Query(text, image), same_name)
    return made


def notes(flags: Path, pictures: Sequence[tuple[Path, Path]]) -> Set:
    """Notes added to the store of flags, half of them with a picture.

    Args:
      flags: what `examples/flags/build.py` made.
      pictures: of things, each twice: as it is stored, and in another style.
    """
    known = list(formats.read(flags / "samples.json"))
    made = Set("notes", [*known])
    for number, (told, question, name) in enumerate(_told()):
        stored, other = pictures[number // 2]
        with_picture = number % 2 == 0
        made.samples.append(Sample(f"note-{number}", told, stored if with_picture else None))
        right = [f"note-{number}"]
        flag = known[(37 * number) % len(known)].image
        if with_picture:
            made.ask("picture only", Query("", other), right)
            made.ask("words only", Query(question), right)
            made.ask("picture and words", Query(question, other), right)
            made.ask("picture, and words that do not name it", Query(question.replace(name, "this"), other), right)
        else:
            made.ask("no picture stored: words", Query(question), right)
            made.ask("no picture stored: words, and the picture of a flag", Query(question, flag), right)
    for number, place in enumerate(range(5, len(known), len(known) // KEEPERS)):
        sample, name = known[place], f"keeper-{place}"
        keeper = "".join(SYLLABLES[(number * step) % len(SYLLABLES)] for step in (1, 5)).capitalize()
        made.samples.append(
            Sample(name, f"The keeper of this flag is {keeper} {SYLLABLES[number // 2]}.", sample.image)
        )
        asked = flags / "pictures" / "flag" / sample.image.name if sample.image else None
        made.ask("added about a picture that is there", Query("Who is the keeper of this flag?", asked), [name])
    return made


def demo(flags: Path, questions: Sequence[tuple[str, str]]) -> Set:
    """The demo over flags.

    Args:
      questions: text and code of a country.
    """
    known = list(formats.read(flags / "samples.json"))
    made = Set("demo", known)
    for text, code in questions:
        right = [sample.id for sample in known if sample.id.endswith(f"-{code}")]
        made.ask("picture and the question about it", Query(text, flags / "pictures" / "flag" / f"{code}.png"), right)
    return made


def things(data: Path, count: int) -> list[tuple[Path, Path]]:
    """Pictures of `count` things in two styles, from the photos of FactPix; none of a validation class."""
    asked = {Path(record["image"]).name for record in json.loads((data / "validation.json").read_text())}
    color, postcard = (data / "images" / "stamps" / style for style in ("color", "postcard"))
    both = {path.name for path in color.glob("*.png")} & {path.name for path in postcard.glob("*.png")} - asked
    return [(color / name, postcard / name) for name in _drawn(sorted(both), count)]


def note(picture: Path) -> tuple[Sample, Query]:
    """The example of docs/serving.md, with a picture of something."""
    return Sample("pump-9", "Pump 9 was scrapped in May.", picture), Query("What happened to pump 9?")


def _told() -> Iterator[tuple[str, str, str]]:
    """The text of a note, the question about it, and what it names; no two notes name the same thing."""
    kinds = cycle(THINGS)
    for number, (told, question) in enumerate(EVENTS * len(THINGS)):
        name = f"{next(kinds)} {number // len(THINGS) + 4}"
        yield told.format(name.capitalize()), question.format(name), name


def _class(meta: Mapping[str, Any]) -> str:
    return f"{meta['topic']}/{meta['class']}"


def _with_text_meta(sample: Sample) -> Sample:
    """The sample with the facts as its metadata."""
    inner = sample.meta.get("meta")
    return replace(sample, meta=inner) if isinstance(inner, Mapping) else sample


def _by_name(samples: Sequence[Sample]) -> dict[tuple[str, str], list[str]]:
    ids: dict[tuple[str, str], list[str]] = {}
    for sample in samples:
        name = sample.meta["facts"].get("name")
        ids.setdefault((sample.meta["topic"], name), []).append(sample.id)
    return ids


def _drawn(values: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of them, always the same ones."""
    return list(values) if len(values) <= count else random.Random(0).sample(values, count)
