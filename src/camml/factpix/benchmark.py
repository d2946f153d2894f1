"""The whole benchmark in a folder, from the packages of its topics; the same seed gives the same bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from camml import plugins
from camml.errors import FetchError, OptionError
from camml.factpix import conversations, drawing, notes, samples, several, splits, writing
from camml.factpix.catalog import SIDE, Drawing, Entry, Topic
from camml.factpix.questions import CHOICE, OPEN, YESNO, Asker, Subject
from camml.factpix.samples import Noted, image_path
from camml.factpix.sources import Source, attribution
from camml.factpix.splits import HELDOUT, TRAIN, VALIDATION, Plan
from camml.factpix.wording import words_of

SIZES: Mapping[str, Mapping[str, int]] = {"small": {"flags": 40, "emoji": 60}, "full": {}}
"""Topics of a size and how many classes of each; the full size has all there are."""

TRAINING_KINDS = {OPEN: 1.0, CHOICE: 0.5, YESNO: 0.5}
TEST_KINDS = {OPEN: 1.0, CHOICE: 1.0, YESNO: 1.0}
"""Of so many fields a picture is asked about in each kind of question."""

NEW_WORDINGS = 0.5
"""Share of the test questions in words that training does not use."""

NOTED = 0.25
"""Share of the training classes that have an invented note; of the held-out ones all have."""

SEVERAL, SEVERAL_TRAIN = "several", "several_train"
"""Questions that need several samples, about held-out classes and about some of those of training."""

PRINTED = 0.25
"""Share of the training classes that are asked about so; of the held-out ones all that are stored twice or more."""


@dataclass
class Benchmark:
    """All records and pictures, before anything is written."""

    pictures: dict[str, dict[str, Drawing]] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    late_samples: list[dict[str, Any]] = field(default_factory=list)
    several_samples: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {SEVERAL: [], SEVERAL_TRAIN: []})
    questions: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {
            name: [] for name in (TRAIN, VALIDATION, HELDOUT, "style", "late", SEVERAL, SEVERAL_TRAIN)
        }
    )


@dataclass(frozen=True, slots=True)
class Planned:
    """A class with what it is used for."""

    entry: Entry
    plan: Plan
    noted: Noted | None


def build(
    out: Path,
    *,
    size: str = "full",
    seed: int = 0,
    topics: Sequence[str] = (),
    processes: int = 2,
    progress: bool = True,
) -> dict[str, Any]:
    """Write the benchmark to the folder `out`, or what is still missing of it, and return the manifest.

    Args:
      out: a new or empty folder, or one of an earlier build, whose pictures are used again.
      size: "full", or "small" for a quick look and for tests.
      seed: of the splits, styles, wordings and wrong values.
      topics: of which to build it; by default all of the size.
      processes: that render at the same time.
      progress: show bars if a person watches.
    Raises:
      OptionError: a size or topic that there is not, or a folder of something else.
      FetchError, DiskError: a package could not be obtained, or the folder not be written.
    """
    chosen = _choose(size, topics)
    drawing.check_folder(out)
    made = Benchmark()
    sources: dict[str, Sequence[Source]] = {}
    for name in chosen:
        topic: Any = plugins.find("factpix.topics", name)
        entries = _entries(topic, name, chosen)
        if count := SIZES[size].get(name):
            entries = splits.fewer(entries, count, topic, seed, name)
        add_topic(made, name, topic, entries, seed)
        sources[name] = topic.SOURCES
    digests: dict[str, str] = {}
    for name, pictures in made.pictures.items():
        recipe = f"{SIDE} pixels, " + ", ".join(source.pin for source in sources[name])
        digests |= drawing.draw_all(out, name, pictures, recipe, processes=processes, progress=progress)
    used = {source for of_topic in sources.values() for source in of_topic}
    stores = {f"store_{split}.json": [s for s in made.samples if s["meta"]["split"] == split] for split in SPLITS}
    files = {
        "samples.json": made.samples,
        "late_samples.json": made.late_samples,
        **{f"{name}_samples.json": records for name, records in made.several_samples.items()},
        **stores,
        **{f"{name}.json": records for name, records in made.questions.items()},
        "conversations.json": conversations.join(made.questions[TRAIN], seed),
    }
    digests |= writing.write_json(out, files)
    digests |= writing.write_scienceqa(out, made.questions)
    digests |= writing.write_text(out, "ATTRIBUTION.md", attribution(used))
    counts = writing.counts(made.samples, made.questions, made.pictures)
    manifest = {
        "name": "FactPix",
        "size": size,
        "seed": seed,
        "topics": list(chosen),
        "packages": sorted(source.pin for source in used),
        "counts": counts,
        "files": dict(sorted(digests.items())),
    }
    writing.write_manifest(out, manifest)
    return manifest


SPLITS = (TRAIN, VALIDATION, HELDOUT)


def add_topic(made: Benchmark, name: str, topic: Topic, entries: Sequence[Entry], seed: int) -> None:
    """Plan the classes of a topic and add their pictures, samples and questions."""
    split_of = splits.assign(entries, seed, name)
    planned, pictures = [], made.pictures.setdefault(name, {})
    for entry in entries:
        rng = Random(f"{seed}|{name}|{entry.key}|plan")
        plan = splits.plan(topic, entry, split_of[entry.key], rng)
        planned.append(Planned(entry, plan, _invent(plan, rng)))
        pictures |= {image_path(name, style, entry.key): entry.drawings[style] for style in plan.styles}
    for item in planned:
        made.samples += [samples.sample(name, item.entry, style, item.plan.split, seed) for style in item.plan.stored]
        if item.noted:
            target = made.late_samples if item.plan.split == HELDOUT else made.samples
            target += samples.note_samples(name, item.entry, item.plan, item.noted, seed)
    for split in SPLITS:
        _ask(made, name, [item for item in planned if item.plan.split == split], split, seed)
    for name_of_file, split in ((SEVERAL, HELDOUT), (SEVERAL_TRAIN, TRAIN)):
        _ask_several(made, name, [item for item in planned if item.plan.split == split], name_of_file, seed)


def _ask(made: Benchmark, name: str, planned: Sequence[Planned], split: str, seed: int) -> None:
    """Add the questions about classes of one split."""
    kinds = TRAINING_KINDS if split == TRAIN else TEST_KINDS
    new_wordings = NEW_WORDINGS if split == HELDOUT else 0.0
    asker = Asker(split, words_of(name), [item.entry.facts for item in planned], kinds, new_wordings)
    for item in planned:
        for style in item.plan.asked:
            subject = Subject(name, item.entry.key, style, item.entry.facts, item.entry.rivals)
            asked = list(asker.ask(subject, Random(f"{seed}|{name}|{item.entry.key}|{style}|questions")))
            made.questions[split] += asked
            for new in item.plan.new:
                made.questions["style"] += [_in_style(record, style, new) for record in asked]
    noted = [(item, item.noted) for item in planned if item.noted]
    late = "late" if split == HELDOUT else split
    note_asker = Asker(late, words_of("notes"), [note.facts for _, note in noted], kinds, new_wordings)
    for item, note in noted:
        for style in item.plan.asked:
            subject = Subject(name, item.entry.key, style, note.facts, {})
            rng = Random(f"{seed}|{name}|{item.entry.key}|{style}|note questions")
            made.questions[late] += note_asker.ask(subject, rng)


def _ask_several(made: Benchmark, name: str, planned: Sequence[Planned], file: str, seed: int) -> None:
    """Add prints of the classes that are stored more than once, and the questions about them."""
    training = file == SEVERAL_TRAIN
    asker = several.SeveralAsker(file, 0.0 if training else NEW_WORDINGS)
    for item in planned:
        rng = Random(f"{seed}|{name}|{item.entry.key}|prints")
        if len(item.plan.stored) < 2 or not item.plan.asked or (training and rng.random() >= PRINTED):
            continue
        prints = several.invent(notes.TRAIN if training else notes.LATE, item.plan.stored, rng)
        made.several_samples[file] += several.print_samples(name, item.entry, item.plan.split, prints, seed)
        made.questions[file] += asker.ask(name, item.entry.key, item.plan.asked[0], prints, rng)


def _in_style(record: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """Ask a held-out question about the same class in the new style, in the same words, so that runs can be paired."""
    meta = {**record["meta"], "style": new, "split": "style"}
    changed = {key: record[key].replace(f"/{old}/", f"/{new}/", 1) for key in ("id", "image")}
    changed["id"] = changed["id"].replace(HELDOUT, "style", 1)
    return {**record, **changed, "meta": meta}


def _invent(plan: Plan, rng: Random) -> Noted | None:
    """Return the invented note of a class that has one."""
    if not plan.asked or plan.split == VALIDATION:
        return None
    if plan.split == HELDOUT:
        return Noted("late", notes.invent(notes.LATE, rng))
    return Noted("note", notes.invent(notes.TRAIN, rng)) if rng.random() < NOTED else None


def _entries(topic: Topic, name: str, chosen: Sequence[str]) -> Sequence[Entry]:
    """Return the classes of a topic; if its packages cannot be had, the error says how to build without it.

    Raises:
      FetchError: a package could not be obtained.
    """
    try:
        return topic.entries()
    except FetchError as error:
        others = [other for other in chosen if other != name]
        way = f"; without the topic {name} it can be built with --topics {','.join(others)}" if others else ""
        raise FetchError(f"{error}{way}") from error


def _choose(size: str, topics: Sequence[str]) -> list[str]:
    if size not in SIZES:
        raise OptionError(f"no size {size!r}; there are: {', '.join(SIZES)}")
    known = plugins.names("factpix.topics")
    for topic in topics:
        if topic not in known:
            raise OptionError(f"no topic {topic!r}; there are: {', '.join(known)}")
    return sorted(set(topics)) or [name for name in known if not SIZES[size] or name in SIZES[size]]
