"""The score from which on samples have something to do with a question, measured on the datastore itself."""

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from camml.datastore.manifest import Manifest
from camml.datastore.store import Datastore
from camml.durable import write_file
from camml.encoders import Encoder, Vectors, among_images, balanced
from camml.errors import OptionError, StoreCorruptedError, StoreError
from camml.likeness import DuplicateDetector
from camml.passages import split
from camml.ranking import BACKGROUND
from camml.types import Context, Neighbor, Sample
from camml.words import telling_words

FILE = "calibration.json"
VERSION = 1
FEWEST = 24
"""Samples without which nothing can be said."""
MOST = 256
"""Samples that are looked at."""
WORDS = 4
"""Words of its text by which a sample is sought, as a question would name it."""
BY_HAND = "say how near the best must be by hand, as with `camml ask --min-score 0.8`"
"""The remedy where nothing can be measured."""
NEARBY = 24
"""Neighbors among which the nearest that is no near-duplicate is looked for."""


@dataclass(frozen=True, slots=True)
class Least:
    """The least that a neighbor found in one kind of search must have.

    Attributes:
      score: a cosine.
      own: pairs that belong together, by which it was chosen.
      strangers: the share of pairs of strangers that have it nevertheless.
    """

    score: float
    own: int
    strangers: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The scores from which on a sample has something to do with a question.

    Attributes:
      encoder: name and revision of what made the vectors; for others it says nothing.
      false_refusals: the share of questions about what is there that may be refused.
      samples: how many there were.
      searches: by their names, such as `image-image`.
      next_key: of the datastore then, by which it is known how many samples came later; None where that was not kept.
      made: when it was, in UTC as ISO 8601 writes it; empty where that was not kept.
    """

    encoder: str
    false_refusals: float
    samples: int
    searches: Mapping[str, Least] = field(default_factory=dict)
    next_key: int | None = None
    made: str = field(default="", compare=False)

    def changed(self, manifest: Manifest) -> float:
        """Return how many samples came and went since, as a share of those there were."""
        now = manifest.counts.get("samples", 0)
        came = max(0, now - self.samples) if self.next_key is None else manifest.next_key - self.next_key
        return (came + max(0, self.samples + came - now)) / max(1, self.samples)

    def fits(self, manifest: Manifest) -> bool:
        """Return whether the vectors of a datastore are still those of the same encoder."""
        return self.encoder == _made_by(manifest)

    def weakness(self, context: Context) -> str:
        """Return why the samples are not near enough, by the search that found the first one; empty where they are, or
        nobody can tell.
        """
        search = context[0].found_by if context else ""
        least = self.searches.get(search)
        # parts may have put another one first, but whole pictures and texts are what was calibrated
        best = max((neighbor for neighbor in context if neighbor.found_by == search), key=_score, default=None)
        if least is None or best is None or best.score >= least.score:
            return ""
        return (
            f"no sample is near enough: the nearest, {best.sample.id!r}, scores {best.score:.3f} in {search}, "
            f"below its threshold of {least.score:.3f}"
        )


def _score(neighbor: Neighbor) -> float:
    return neighbor.score


def calibrate(
    datastore: Datastore, encoder: Encoder, *, false_refusals: float = 0.05, most: int = MOST, seed: int = 0
) -> Calibration:
    """Return score thresholds that separate relevant from unrelated samples, estimated on the datastore.

    Images: each stored image is matched with its nearest one that is not a near-duplicate. Words: a few consecutive
    words of a text are matched with that text. The thresholds reject at most `false_refusals` of these pairs. They
    test whether a question is on topic, not whether its exact subject is stored.

    Args:
      false_refusals: between 0 and 0.5.
      most: samples to look at, drawn with `seed`; 24 or more.

    Raises:
      OptionError: `false_refusals` or `most` is out of range.
      StoreError: there are too few samples, or they tell nothing of any search.

    Example:
      >>> from camml import encoders
      >>> encoder = encoders.load("hashed")
      >>> texts = [f"Pump {4 * n} in hall {n} needs seal {4711 + n}." for n in range(30)]
      >>> store = Datastore.build("pumps", [Sample(str(n), text) for n, text in enumerate(texts)], encoder)
      >>> list(calibrate(store, encoder).searches)
      ['text-text']
    """
    if not 0 < false_refusals <= 0.5:
        raise OptionError(f"false refusals are {false_refusals:g}; give more than 0 and at most 0.5, such as 0.05")
    if most < FEWEST:
        raise OptionError(
            f"only {most} samples are to be looked at, and it takes {FEWEST} to see what is usual; give --samples "
            f"(in Python `most`) {FEWEST} or more"
        )
    if len(datastore) < FEWEST:
        raise StoreError(
            f"{datastore.path} holds {len(datastore)} samples, and it takes {FEWEST} to see what is usual; {BY_HAND}"
        )
    rng = random.Random(seed)
    every = list(datastore)
    samples = rng.sample(every, min(most, len(every)))
    searches = {
        "image-image": _pictures(datastore, encoder, samples),
        "text-text": _words(datastore, encoder, samples, "text", rng),
        "text-image": _words(datastore, encoder, samples, "image", rng) if encoder.joint else None,
    }
    chosen = {name: _least(pairs, false_refusals) for name, pairs in searches.items() if pairs is not None}
    if not chosen:
        raise StoreError(
            f"no search can be measured on {len(samples)} samples of {datastore.path}: it takes {FEWEST} with words, "
            f"or {FEWEST} with pictures that are not all alike; {BY_HAND}"
        )
    now = datastore.manifest
    return Calibration(_made_by(now), false_refusals, len(datastore), chosen, now.next_key)


Pairs = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]
"""float[N] scores of pairs that belong together, and of strangers."""


def _pictures(datastore: Datastore, encoder: Encoder, samples: Sequence[Sample]) -> Pairs | None:
    """Return the pairs of pictures; None where there are too few."""
    vectors = datastore.vectors([sample.id for sample in samples], "image")
    if len(vectors) < FEWEST:
        return None
    duplicates = DuplicateDetector("measured", datastore.evenly_spaced_vectors, encoder.name)
    ids, rows = list(vectors), np.stack(list(vectors.values()))
    own = []
    asked = balanced(encoder, rows, datastore.evenly_spaced_vectors("image", BACKGROUND))
    for place, context in enumerate(datastore.search(asked, "image", NEARBY)):
        near = datastore.vectors([neighbor.sample.id for neighbor in context], "image")
        others = [
            its for key, its in near.items() if key != ids[place] and not duplicates.same(rows[place], its, "image")
        ]
        if others:
            own.append(max(float(its @ asked[place]) for its in others))
    if len(own) < FEWEST:
        return None
    return np.array(own), _strangers(asked, rows)


def _words(
    datastore: Datastore, encoder: Encoder, samples: Sequence[Sample], target: str, rng: random.Random
) -> Pairs | None:
    """Return the pairs of words with what they are sought among: texts, or pictures; None where there are too few."""
    vectors = datastore.vectors([sample.id for sample in samples], target)
    named = {
        sample.id: words for sample in samples if sample.id in vectors and (words := _some_words(sample.text, rng))
    }
    if len(named) < FEWEST:
        return None
    asked = encoder.embed_texts(list(named.values()))
    asked = among_images(encoder, asked) if target == "image" else asked
    rows = np.stack([vectors[name] for name in named])
    return (asked * rows).sum(axis=1), _strangers(asked, rows)


def _some_words(text: str, rng: random.Random) -> str:
    """Return a few words in a row of one passage of a text."""
    passage = rng.choice([text[slice(*passage.span)] for passage in split(text)] or [text])
    words = telling_words(passage) or telling_words(text)
    start = rng.randrange(max(1, len(words) - WORDS + 1))
    return " ".join(words[start : start + WORDS])


def _strangers(asked: Vectors, rows: Vectors) -> "np.ndarray[Any, Any]":
    """Return the score of each query with the row of another one, half the list away."""
    scores: np.ndarray[Any, Any] = (asked * np.roll(rows, len(rows) // 2, axis=0)).sum(axis=1)
    return scores


def _least(pairs: Pairs, rate: float) -> Least:
    """Return the score that all but `rate` of the pairs that belong together have at least."""
    own, strangers = pairs
    score = math.floor(1e4 * float(np.quantile(own, rate, method="lower"))) / 1e4
    return Least(score, len(own), round(float((strangers >= score).mean()), 4))


def save(datastore: Datastore, calibration: Calibration) -> Path:
    """Write a calibration beside the datastore, and return where.

    Raises:
      StoreError: it is not a datastore of its own folder.
      DiskError: it cannot be written.
    """
    if datastore.path is None:
        raise StoreError("a published index has no folder of its own; build a datastore from its JSON")
    path = datastore.path / FILE
    made = replace(calibration, made=datetime.now(UTC).isoformat(timespec="seconds"))
    write_file(path, json.dumps({"version": VERSION, **asdict(made)}, indent=1).encode())
    return path


def calibration_of(datastore: Datastore) -> Calibration | None:
    """Return the calibration beside a datastore; None where there is none, or one of another encoder.

    Raises:
      StoreCorruptedError: it cannot be read.
    """
    calibration = None if datastore.path is None else read(datastore.path)
    return calibration if calibration and calibration.fits(datastore.manifest) else None


def read(folder: Path) -> Calibration | None:
    """Return the calibration in the folder of a datastore, whatever encoder it is of; None where there is none.

    Raises:
      StoreCorruptedError: it cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        content.pop("version")
        searches = {name: Least(**values) for name, values in content.pop("searches").items()}
        return Calibration(**content, searches=searches)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreCorruptedError(
            f"{path} cannot be used ({error}); remove it, or run `camml store calibrate --store {folder}`"
        ) from None


def _made_by(manifest: Manifest) -> str:
    return f"{manifest.encoder.name} {manifest.encoder.revision}"
