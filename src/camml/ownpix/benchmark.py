"""The whole benchmark in a folder, from the packages of its pictures; the same seed gives the same bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from camml.errors import OptionError
from camml.factpix import drawing, invention, writing
from camml.factpix.catalog import SIDE, Fact
from camml.factpix.questions import OPEN, UNANSWERABLE, Asker, Subject
from camml.factpix.samples import image_path
from camml.factpix.sources import Source, attribution
from camml.ownpix import cutouts, texts
from camml.ownpix.cutouts import WESNOTH, Cutout
from camml.ownpix.kinds import Kind, kinds, parts
from camml.ownpix.pictures import CHANGES, STORED, ThingPicture
from camml.ownpix.texts import LONG, SHORT, Text
from camml.refusals import REFUSAL

Record = dict[str, Any]

VALIDATION = "validation"
FILES = (SHORT, LONG, UNANSWERABLE, VALIDATION)
"""The files of questions; those of validation are about other things than the rest, and of all three sorts."""

SIZES = {"small": 40, "full": 560}
"""Things of a size, or as many as there are."""

VALIDATED = 0.11
"""Share of the things that are kept for choosing settings."""

ASKED = 3
"""Facts of a thing that are asked for, at most."""

INVENTED = "Every name, number, date, code and place is invented."


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing of the collection."""

    kind: Kind
    cutout: Cutout
    split: str
    length: str
    change: str
    facts: dict[str, Fact]
    text: Text

    def path(self, change: str) -> str:
        """Return where its picture is, from the folder of the benchmark."""
        return image_path(self.kind.name, change, self.cutout.key)


def build(
    out: Path,
    *,
    size: str = "full",
    seed: int = 0,
    topics: Sequence[str] = (),
    processes: int = 2,
    progress: bool = True,
) -> Record:
    """Write the benchmark to the folder `out`, or what is still missing of it; return the manifest.

    Args:
      out: a new or empty folder, or one of an earlier build, whose pictures are used again.
      size: "full", or "small" for a quick look and for tests.
      seed: of facts, texts, questions and pictures.
      topics: sorts of pictures; by default all.
      processes: that render at the same time.
      progress: show bars if a person watches.
    Raises:
      OptionError: a size or topic that there is not, or a folder of something else.
      FetchError, DiskError: a package could not be obtained, or the folder not be written.
    """
    chosen = _choose(size, topics)
    drawing.check_folder(out)
    drawn = [cutout for topic in chosen for cutout in cutouts.cutouts(topic)]
    scenes = tuple(cutouts.scenes(WESNOTH.fetch()))
    things = invent(drawn, SIZES[size], seed)
    questions = ask(things, seed)
    sources = {*(cutouts.TOPICS[topic] for topic in chosen), WESNOTH}
    pictures = _pictures(things, scenes, seed)
    digests: dict[str, str] = {}
    for kind, wanted in pictures.items():
        digests |= drawing.draw_all(out, kind, wanted, _recipe(sources, seed), processes=processes, progress=progress)
    samples = [sample(thing) for thing in things]
    digests |= writing.write_json(
        out, {"samples.json": samples, **{f"{name}.json": records for name, records in questions.items()}}
    )
    digests |= writing.write_text(out, "ATTRIBUTION.md", attribution(sources, INVENTED))
    manifest = {
        "name": "OwnPix",
        "size": size,
        "seed": seed,
        "topics": list(chosen),
        "packages": sorted(source.pin for source in sources),
        "counts": writing.counts(samples, questions, pictures),
        "files": dict(sorted(digests.items())),
    }
    writing.write_manifest(out, manifest)
    return manifest


def invent(drawn: Sequence[Cutout], count: int, seed: int) -> list[Thing]:
    """Return `count` things, or one of each drawing if there are fewer: with facts, texts and parts in the test."""
    order = sorted(drawn, key=lambda cutout: (cutout.topic, cutout.key))
    Random(f"{seed}|ownpix|order").shuffle(order)
    things, names = [], set[str]()
    for number, cutout in enumerate(order[:count]):
        rng = Random(f"{seed}|ownpix|{cutout.topic}|{cutout.key}")
        kind = rng.choice([kind for kind in kinds().values() if cutout.topic in kind.topics])
        while (name := _name(kind, rng)) in names:
            pass
        names.add(name)
        split = VALIDATION if number < round(VALIDATED * min(count, len(order))) else "heldout"
        length = (SHORT, LONG)[number % 2]
        facts = kind.invent(name, rng)
        things.append(
            Thing(kind, cutout, split, length, rng.choice(CHANGES), facts, texts.write(kind, facts, length, rng))
        )
    return sorted(things, key=lambda thing: (thing.kind.name, thing.cutout.key))


def sample(thing: Thing) -> Record:
    """Return the sample of a thing, as datastore JSON."""
    told = {field: thing.facts[field].answer for field in thing.text.told}
    meta = {
        "topic": thing.kind.name, "class": thing.cutout.key, "style": STORED, "split": thing.split,
        "length": thing.length, "layout": thing.text.layout, "facts": told, "also": {},
    }  # fmt: skip
    name = f"{thing.kind.name}_{thing.cutout.key}"
    return {"id": name, "image": thing.path(STORED), "text": thing.text.text, "meta": meta}


def ask(things: Sequence[Thing], seed: int) -> dict[str, list[Record]]:
    """Return the questions of every file: what the texts tell, and for each thing one that its text does not."""
    asked: dict[str, list[Record]] = {name: [] for name in FILES}
    for thing in things:
        rng = Random(f"{seed}|ownpix|{thing.cutout.key}|questions")
        for sort, facts in _asked_facts(thing, rng).items():
            name = VALIDATION if thing.split == VALIDATION else sort
            asked[name] += _questions(thing, name, sort, facts, rng)
    return asked


def _asked_facts(thing: Thing, rng: Random) -> dict[str, dict[str, Fact]]:
    """Return what is asked of a thing, by the sort of question."""
    told = sorted(rng.sample(thing.text.told, min(ASKED, len(thing.text.told))))
    untold = rng.choice(sorted(set(thing.facts) - set(thing.text.told)))
    return {thing.length: {field: thing.facts[field] for field in told}, UNANSWERABLE: {untold: Fact((REFUSAL,))}}


def _questions(thing: Thing, name: str, sort: str, facts: dict[str, Fact], rng: Random) -> Iterator[Record]:
    asker = Asker(name, thing.kind.words, [], {OPEN: 1.0})
    for record in asker.ask(Subject(thing.kind.name, thing.cutout.key, thing.change, facts, {}), rng):
        kind = UNANSWERABLE if sort == UNANSWERABLE else OPEN
        meta = {key: value for key, value in record["meta"].items() if key != "wording"}
        yield {**record, "meta": {**meta, "kind": kind, "length": thing.length}}


def _name(kind: Kind, rng: Random) -> str:
    """Return the name of a new thing: of a member as of a person, of others as of a model."""
    if "portraits" in kind.topics:
        return invention.person(parts(), rng)
    return f"{invention.name(parts(), rng)} {rng.randint(2, 99)}"


def _pictures(things: Sequence[Thing], scenes: tuple[Path, ...], seed: int) -> dict[str, dict[str, ThingPicture]]:
    """Return the pictures by kind and path: of each thing one that is stored, and one that is asked about."""
    pictures: dict[str, dict[str, ThingPicture]] = {name: {} for name in sorted({thing.kind.name for thing in things})}
    for thing in things:
        for change in (STORED, thing.change):
            made = ThingPicture(thing.cutout.file, change, f"{seed}|{thing.cutout.key}", scenes)
            pictures[thing.kind.name][thing.path(change)] = made
    return pictures


def _recipe(sources: set[Source], seed: int) -> str:
    return f"{SIDE} pixels, seed {seed}, " + ", ".join(sorted(source.pin for source in sources))


def _choose(size: str, topics: Sequence[str]) -> list[str]:
    if size not in SIZES:
        raise OptionError(f"no size {size!r}; there are: {', '.join(SIZES)}")
    for topic in topics:
        if topic not in cutouts.TOPICS:
            raise OptionError(f"no topic {topic!r}; there are: {', '.join(cutouts.TOPICS)}")
    return sorted(set(topics)) or list(cutouts.TOPICS)
