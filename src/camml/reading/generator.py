"""Reading data in a folder: conversations, the samples that answer them, and their neighbors; from a seed alone."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

from camml.errors import OptionError
from camml.factpix import writing
from camml.neighbors import MANIFEST, NeighborTable, Origin, compute
from camml.reading import excerpts, notes, pictures, records
from camml.reading.excerpts import Shorten
from camml.reading.pictures import Pair
from camml.reading.questions import Asked, Questioner, Scene
from camml.reading.records import Record
from camml.types import Context, Neighbor, Query, Sample

CONVERSATIONS, SAMPLES, NEIGHBORS = "conversations.json", "samples.json", "neighbors"
MOST_SAMPLES = 3
TURNS = (2, 4)
"""Questions of a conversation, at least (where there are as many to ask) and at most."""

NOTE_TURNS = (3, 6)
"""The same for notes, which have more to ask about."""

FIRST = 0.75
"""Share of the rows in which the record that is asked about is the nearest one."""

FIRST_NOTE = 0.5
"""Share of the draws in which a note is the nearest one whatever it is asked; rows of more notes than a limit holds are
drawn again.
"""

JOINED = 0.4
"""Share of the notes that share a text with another, where there is one."""

SAME_KIND = 0.6
"""Share of the other records that are of the same kind."""

WITHOUT_PICTURES = 0.25
"""Share of the rows without pictures, where there are any."""

BRIEF = 0.5
"""Share of the draws of brief records where there is a limit to what is read; what does not fit is drawn again."""

DRAWS = 400
"""Draws of a row, at the most, until its texts are within the limit."""

LEAST_TOKENS = 40
"""Tokens of two facts and a name; records of fewer are so rare that drawing them would take long."""

NEAREST, STEP = 0.9, 0.1
"""Scores of neighbors, as if they had been retrieved."""


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation as JSON, what it asks, and its context."""

    record: dict[str, Any]
    asked: Sequence[Asked]
    samples: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class TextLimit:
    """The length of text of all samples together that a model reads.

    Attributes:
      size: how much, in the unit of `length`.
      length: of a text: its tokens for some model, or its characters.
    """

    size: int
    length: Callable[[str], int] = len

    def ends(self, texts: Sequence[str]) -> list[int]:
        """Return how much is read when each of the texts ends, if all are read from the first on."""
        return list(accumulate(self.length(text) + 1 for text in texts))

    def count_read(self, texts: Sequence[str]) -> int:
        """Return how many of the texts, from the first on, are read to their end."""
        return sum(end <= self.size for end in self.ends(texts))


@dataclass(frozen=True, slots=True)
class Source:
    """Pictures that records get, and how much of their text a model reads."""

    pictures: Sequence[Pair]
    limit: TextLimit | None
    texts: Shorten | None

    def draw_pictures(self, count: int, rng: Random) -> list[Pair]:
        """Return pictures for the records of a row, or none."""
        return rng.sample(self.pictures, count) if self.pictures and rng.random() >= WITHOUT_PICTURES else []


def build(
    out: Path,
    *,
    rows: int,
    seed: int = 0,
    factpix: Path | None = None,
    limit: TextLimit | None = None,
    texts: Shorten | None = None,
    notes_share: float = 0.0,
) -> dict[str, Any]:
    """Write `rows` conversations to the folder `out`; return the manifest.

    Args:
      out: a new or empty folder, or one of an earlier call, whose files are replaced.
      factpix: a build of FactPix, whose training pictures the records get; without it all is text.
      limit: how much text of all samples a model reads; what the questions of a row need stands within it. Without it
        texts may be of any length, and a model that reads only their beginnings would learn to invent the rest.
      texts: what is read of long texts for a question. Rows then ask what these passages answer, or refuse, and their
        samples are these passages.
      notes_share: share of the rows about notes in plain prose, from 0 to 1; the others are about records.

    Raises:
      OptionError: a number out of range, or a folder of something else.
      SampleError: no build of FactPix.
      DiskError: the folder cannot be written.

    Example:
      >>> sorted(build(Path("reading"), rows=10)["files"])
      ['conversations.json', 'samples.json']
    """
    if rows < 1:
        raise OptionError(f"--rows is {rows}; it must be 1 or more")
    if limit is not None and limit.size < LEAST_TOKENS:
        raise OptionError(
            f"--context-tokens is {limit.size}; it must be {LEAST_TOKENS} or more, as records are not shorter"
        )
    if not 0 <= notes_share <= 1:
        raise OptionError(f"--notes is {notes_share}; it must be a share from 0 to 1")
    _check_folder(out)
    source = Source(pictures.pairs(factpix, out) if factpix else [], limit, texts)
    questioner = Questioner()
    made = []
    for number in range(rows):
        name, rng = f"reading-{seed}-{number:06}", Random(f"{seed}|reading|{number}")
        about_notes = number < round(notes_share * rows)
        made.append(_about_notes(name, source, rng) if about_notes else _about_records(name, questioner, source, rng))
    files = {CONVERSATIONS: [row.record for row in made], SAMPLES: [sample for row in made for sample in row.samples]}
    digests = writing.write_json(out, files)
    _write_neighbors(out, made, digests)
    manifest = {
        "name": "reading",
        "seed": seed,
        "rows": rows,
        "counts": counts(made),
        "files": dict(sorted(digests.items())),
    }
    writing.write_manifest(out, manifest)
    return manifest


def counts(rows: Sequence[Row]) -> dict[str, Any]:
    """Return how much there is of everything."""
    asked = [question for row in rows for question in row.asked]
    return {
        "rows": len(rows),
        "rows_with_pictures": sum("image" in row.record for row in rows),
        "samples": sum(len(row.samples) for row in rows),
        "questions": len(asked),
        "forms": dict(sorted(Counter(question.form for question in asked).items())),
        "yes": sum(question.answer == "yes" for question in asked),
        "no": sum(question.answer == "no" for question in asked),
        "layouts": dict(sorted(Counter(sample["meta"]["layout"] for row in rows for sample in row.samples).items())),
    }


def _row(name: str, scene: Scene, asked: Sequence[Asked], shown: Sequence[Pair], given: Sequence[Record]) -> Row:
    """Return a conversation and its samples, which are what is `given` of the scene's records."""
    samples = [
        _sample(f"{name}-{n}", record, shown[n] if shown else None) for n, record in enumerate(given) if record.text
    ]
    place = next(place for place, record in enumerate(scene.records) if record is scene.target)
    image = {"image": shown[place].asked} if shown else {}
    turns = [turn for question in asked for turn in (("human", question.text), ("gpt", question.answer))]
    said = [{"from": who, "value": value} for who, value in turns]
    if shown:
        said[0]["value"] = f"<image>\n{said[0]['value']}"
    meta = {
        "topic": "reading",
        "forms": [question.form for question in asked],
        "fields": [question.field for question in asked],
    }
    return Row({"id": name, **image, "conversations": said, "meta": meta}, asked, samples)


def _about_records(name: str, questioner: Questioner, source: Source, rng: Random) -> Row:
    """Return one conversation about one of up to `MOST_SAMPLES` records."""
    given, place, read = _records(source.limit, rng)
    target = given[place]
    shown = source.draw_pictures(len(given), rng)
    alone = sum(record.kind == target.kind for record in given) == 1
    scene = Scene(given[:read], target, bool(shown) or (place == 0 and alone), bool(shown))
    asked = questioner.ask(scene, rng.randint(*TURNS), rng)
    if source.texts is not None:
        while not any(question.form in excerpts.ABOUT_ONE for question in asked):
            asked = questioner.ask(scene, TURNS[1], rng)
        asked, given = excerpts.shorten(scene, asked, source.texts, rng)
    return _row(name, scene, asked, shown, given)


def _about_notes(name: str, source: Source, rng: Random) -> Row:
    """Return one conversation about one of up to `MOST_SAMPLES` notes."""
    first, asked, given = _notes(source.limit, rng)
    shown = source.draw_pictures(len(given), rng)
    scene = Scene(given, first, bool(shown) or first is given[0], bool(shown))
    if source.texts is not None:
        asked, given = excerpts.shorten(scene, asked, source.texts, rng)
    return _row(name, scene, asked, shown, given)


def _notes(limit: TextLimit | None, rng: Random) -> tuple[Record, list[Asked], list[Record]]:
    """Return the note that is asked about, the questions, and all notes, nearest first.

    Where there is a limit, the note ends anywhere from its beginning to its end, and more often late, as what is asked
    stands before the note's end.
    """
    reach = 0.0 if limit is None else limit.size * math.sqrt(rng.random())
    for draw in range(DRAWS):
        note, *others = notes.invent(rng, rng.randint(1, MOST_SAMPLES))
        if others and rng.random() < JOINED:
            note = note.joined(others.pop(), rng)
        place = 0 if rng.random() < FIRST_NOTE else rng.randint(0, len(others))
        # Only a note's being the nearest tells that "it" means its matter.
        asked = (note if place == 0 else note.not_pointing()).ask(rng.randint(*NOTE_TURNS), rng)
        given = [other.record for other in (*others[:place], note, *others[place:])]
        end = 0 if limit is None else limit.ends([record.text for record in given])[place]
        # Rare ends are given up in the course of the draws, so that there is a row for small limits too.
        if asked and (limit is None or reach * (1 - draw / DRAWS) <= end <= limit.size):
            return note.record, asked, given
    raise OptionError(f"--context-tokens is {limit and limit.size}, in which no note fits; give more")


def _records(limit: TextLimit | None, rng: Random) -> tuple[list[Record], int, int]:
    """Return records, which of them is asked about, and how many of them are read to the end."""
    for _ in range(DRAWS):
        brief = limit is not None and rng.random() < BRIEF
        target = records.invent(rng, brief=brief)
        others = [
            records.invent(rng, target.kind if rng.random() < SAME_KIND else None, brief=brief)
            for _ in range(rng.randint(0, MOST_SAMPLES - 1))
        ]
        place = 0 if rng.random() < FIRST else rng.randint(0, len(others))
        given = [*others[:place], target, *others[place:]]
        read = len(given) if limit is None else limit.count_read([record.text for record in given])
        if place < read:
            return given, place, read
    raise OptionError(f"--context-tokens is {limit and limit.size}, in which no record fits; give more")


def _sample(name: str, record: Record, pair: Pair | None) -> dict[str, Any]:
    meta = {
        "topic": "reading",
        "class": name,
        "layout": record.layout,
        "facts": {field: fact.answer for field, fact in record.facts.items()},
    }
    return {"id": name, **({"image": pair.stored} if pair else {}), "text": record.text, "meta": meta}


def _write_neighbors(out: Path, rows: Sequence[Row], digests: dict[str, str]) -> None:
    """Write the table of neighbors; a finished one of the same files is kept, of others replaced."""
    contexts = {row.record["id"]: _context(row, out) for row in rows}

    def retrieve(queries: Sequence[Query], k: int) -> list[Context]:
        return [contexts[query.id or ""][:k] for query in queries]

    origin = Origin(
        dataset=str(out / CONVERSATIONS),
        dataset_hash=digests[CONVERSATIONS],
        store=str(out / SAMPLES),
        store_hash=digests[SAMPLES],
        generation=0,
        encoder="none: the generator knows them",
        mode="told",
        k=MOST_SAMPLES,
    )
    table = out / NEIGHBORS
    if (table / MANIFEST).is_file() and replace(NeighborTable.open(table).origin, queries="").digest != origin.digest:
        (table / MANIFEST).unlink()
    compute(
        [Query(row.record["conversations"][0]["value"], None, row.record["id"]) for row in rows],
        retrieve,
        table,
        origin,
    )


def _context(row: Row, out: Path) -> Context:
    folder = out.resolve()
    return tuple(
        Neighbor(
            Sample(sample["id"], sample["text"], (folder / sample["image"]).resolve() if "image" in sample else None),
            NEAREST - STEP * place,
        )
        for place, sample in enumerate(row.samples)
    )


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise OptionError(f"{out} is a file; give a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / CONVERSATIONS).is_file():
        raise OptionError(f"{out} holds something else than reading data; give a new or an empty folder")
