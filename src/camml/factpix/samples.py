"""The samples of the datastore: a picture and a text with every fact of its class."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from camml.factpix.catalog import Entry, Fact
from camml.factpix.splits import Plan
from camml.factpix.wording import words_of


@dataclass(frozen=True, slots=True)
class Noted:
    """The invented facts of a class, and the ending of the ids of the samples that tell them."""

    suffix: str
    facts: Mapping[str, Fact]


def image_path(topic: str, style: str, key: str) -> str:
    """Return the path of the picture of a class, from the folder of the benchmark."""
    return f"images/{topic}/{style}/{key}.png"


def sample(topic: str, entry: Entry, style: str, split: str, seed: int) -> dict[str, Any]:
    """Return the sample of one picture, as datastore JSON."""
    rng = Random(f"{seed}|{topic}|{entry.key}|{style}|text")
    text = words_of(topic).tell(entry.facts, rng)
    return record(topic, entry.key, style, split, "", text, entry.facts)


def note_samples(topic: str, entry: Entry, plan: Plan, noted: Noted, seed: int) -> list[dict[str, Any]]:
    """Return a second sample for each stored picture of a class, with its note alone or with all facts as well."""
    samples = []
    for style in plan.stored:
        rng = Random(f"{seed}|{topic}|{entry.key}|{style}|{noted.suffix}")
        text, facts = words_of("notes").tell(noted.facts, rng), dict(noted.facts)
        if rng.random() < 0.5:
            text = f"{words_of(topic).tell(entry.facts, rng)} {text}"
            facts = {**entry.facts, **facts}
        samples.append(record(topic, entry.key, style, plan.split, f"#{noted.suffix}", text, facts))
    return samples


def record(
    topic: str, key: str, style: str, split: str, suffix: str, text: str, facts: Mapping[str, Fact]
) -> dict[str, Any]:
    """Return the sample of a stored picture that tells `facts`, with an ending of its id, as datastore JSON."""
    meta = {
        "topic": topic,
        "class": key,
        "style": style,
        "split": split,
        "facts": {field: fact.answer for field, fact in facts.items()},
        "also": {field: list(fact.values[1:]) for field, fact in facts.items() if len(fact.values) > 1},
    }
    # A slash would not do: ids of a datastore are single names.
    return {"id": f"{topic}_{style}_{key}{suffix}", "image": image_path(topic, style, key), "text": text, "meta": meta}
