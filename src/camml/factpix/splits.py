"""The split of classes into training, validation and final test, and the styles each is stored and asked in.

A class is never drawn in one style both in the datastore and in a question; the style `NEW_STYLE` of a topic is kept
out of both and is used in `style.json` alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from camml.factpix.catalog import Entry, Topic

TRAIN, VALIDATION, HELDOUT = "train", "validation", "heldout"
SHARES = {HELDOUT: 0.12, VALIDATION: 0.08}
"""Parts of the classes of a topic; training has the rest."""

MOST_STORED = 3
"""In so many styles a class is in the datastore, at most."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The uses of a class: its split, the styles it is stored in and asked in, and the new style if it has that."""

    split: str
    stored: tuple[str, ...]
    asked: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def styles(self) -> tuple[str, ...]:
        """All styles in which the class is drawn."""
        return self.stored + self.asked + self.new


def assign(entries: Sequence[Entry], seed: int, name: str) -> Mapping[str, str]:
    """Assign each entry to a split by key: whole kins, in a shuffled order, until a split has its share."""
    kins: dict[str, list[str]] = {}
    for entry in entries:
        kins.setdefault(entry.kin, []).append(entry.key)
    order = sorted(kins)
    Random(f"{seed}|{name}|splits").shuffle(order)
    # Large kins fill training: a held-out split that is half clock faces says little.
    order.sort(key=lambda kin: len(kins[kin]) > 6)
    wanted = {split: share * len(entries) for split, share in SHARES.items()}
    assigned: dict[str, str] = {}
    for kin in order:
        split = next((split for split, left in wanted.items() if left > 0), TRAIN)
        assigned |= dict.fromkeys(kins[kin], split)
        if split in wanted:
            wanted[split] -= len(kins[kin])
    return assigned


def plan(topic: Topic, entry: Entry, split: str, rng: Random) -> Plan:
    """Decide in which styles an entry is stored and asked about."""
    styles = sorted(set(entry.drawings) - {topic.NEW_STYLE})
    rng.shuffle(styles)
    if split == TRAIN:
        asked = tuple(styles[: min(topic.ASKED_STYLES, len(styles) - 1)])
    else:
        asked = tuple(style for style in styles if style == topic.ASKED_STYLE and len(styles) > 1)
    stored = tuple(style for style in styles if style not in asked)[:MOST_STORED]
    new = (topic.NEW_STYLE,) if split == HELDOUT and asked and topic.NEW_STYLE in entry.drawings else ()
    return Plan(split, stored, asked, new)


def fewer(entries: Iterable[Entry], count: int, topic: Topic, seed: int, name: str) -> list[Entry]:
    """Choose `count` entries that are drawn in the asked and the new style, for a small build."""
    known = [entry for entry in entries if {topic.ASKED_STYLE, topic.NEW_STYLE} <= set(entry.drawings)]
    Random(f"{seed}|{name}|fewer").shuffle(known)
    return sorted(known[:count], key=lambda entry: entry.key)
