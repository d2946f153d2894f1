"""A compressed index for a datastore: kinds are tried on a part, the best is built, its recall measured."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from camml.datastore import manifest as manifests
from camml.datastore.checked import Checked
from camml.datastore.commits import writing
from camml.datastore.files import FileRecord, write_file
from camml.datastore.manifest import FastIndex
from camml.datastore.recall import GroundTruth, K, latency, without_own
from camml.datastore.snapshot import Snapshot, load
from camml.datastore.view import View
from camml.errors import EmptyStoreError, OptionError, StoreError
from camml.stores import Keys, create, in_chunks
from camml.stores._fast import KINDS, SEEN, CompressedIndex, lists_for

TRIED = 10_000
"""Vectors on which kinds are compared."""
DEPTHS = (8, 16, 32, 64, 128, 256)
FEWEST = K + 1
"""Vectors without which none has K others to be found."""
CHUNK = 16_384
GROWN = 2.0
"""An index that has grown to so many times the vectors it was trained on is trained again, not extended."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Requirements:
    """The requirements that an index has to meet.

    Attributes:
      memory: bytes that all indexes of the datastore may take.
      recall: of the K nearest, the part that must be found.
      kind: one of KINDS, or `flat`; none to choose.
      retrain: start again even where the present index could be extended.
      minutes: no kind is chosen that would take longer to build.
    """

    memory: int | None = None
    recall: float = 0.99
    kind: str | None = None
    retrain: bool = False
    minutes: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise OptionError(f"recall is above 0 and at most 1, not {self.recall}")
        if self.kind not in (None, "flat", *KINDS):
            raise OptionError(f"there is no kind of index {self.kind!r}; there are: flat, {', '.join(KINDS)}")
        if not self.minutes > 0:
            raise OptionError(f"minutes is {self.minutes:g}; give more than 0")


def index(folder: Path, need: Requirements, say: Say = lambda line: None) -> Mapping[str, FastIndex]:
    """Build compressed indexes for the datastore in `folder`, or none where `flat` is best, and return them.

    Raises:
      StoreNotFoundError: there is no datastore.
      EmptyStoreError: it holds nothing.
      OptionError: no kind fits the memory and reaches the recall.
      StoreError: its vectors are in a database, which has indexes of its own.
    """
    manifests.read(folder)
    with writing(folder):
        now = load(folder)
        if now.manifest.location:
            raise StoreError(f"the vectors of {folder} are in a database: add ?index=HNSW to its address, by migrating")
        if not now.indexes:
            raise EmptyStoreError(f"the datastore {folder} holds no samples; add some with `camml store add`")
        generation, made = now.manifest.generation + 1, dict[str, FastIndex]()
        for modality, view in now.indexes.items():
            share = None if need.memory is None else _share(now, modality, need.memory)
            built = _index_of(now, modality, view, replace(need, memory=share), say)
            if built:
                fast, facts = built
                file = write_file(folder, f"{generation:06d}-{modality}-fast.index", fast.save)
                made[modality] = replace(facts, file=file)
        if made or now.manifest.fast:
            manifests.write(folder, now.manifest.following(fast=made))
        return made


def _share(now: Snapshot, modality: str, memory: int) -> int:
    """Return the memory that one modality may take, in proportion to its number of vectors."""
    numbers = {name: len(view) * view.dim for name, view in now.indexes.items()}
    return memory * numbers[modality] // sum(numbers.values())


def _index_of(
    now: Snapshot, modality: str, view: View, need: Requirements, say: Say
) -> tuple[CompressedIndex, FastIndex] | None:
    """Build the best index for one modality and return it with its record; None where a flat search is best."""
    keys = now.table.keys_with(modality)
    if len(keys) < FEWEST:
        say(f"{modality}: fewer than {FEWEST} vectors are compared one by one, without an index")
        return None
    truth = GroundTruth.draw(view, keys, seed=0)
    flat_ms = latency(view.exact(), truth)
    best: tuple[CompressedIndex, FastIndex] | None = None
    for name, expected in _tries(now, modality, view, keys, need, say):
        if best and best[1].measured["ms"] <= expected:
            break
        if name == "flat":
            return None
        say(f"{modality}: building {name} of {len(keys)} vectors")
        old = now.manifest.fast[modality] if name == "extended" else None
        started = time.perf_counter()
        fast = _extended(now, view, keys, old) if old else _built(name, view, keys)
        seconds = round(time.perf_counter() - started, 3)
        facts = _tuned(fast, truth, need.recall)
        if facts is None:
            say(f"{modality}: {name} stays below recall {need.recall}")
            continue
        say(f"{modality}: recall {facts['recall']:.4f} at {K}, {facts['ms']:.2f} ms a query (flat {flat_ms:.2f} ms)")
        if best is None or facts["ms"] < best[1].measured["ms"]:
            kind, trained = (old.kind, old.trained) if old else (name, len(keys))
            size = KINDS[kind].size(len(fast), view.dim)
            measured = facts | {"flat_ms": flat_ms, "target": need.recall, "bytes": size, "seconds": seconds}
            key, nowhere = now.manifest.next_key, FileRecord("", 0, "")
            best = fast, FastIndex(kind, nowhere, key, len(fast), trained, fast.settings, measured)
        if old:
            break
    if best is None:
        raise OptionError(
            f"no index of {modality} vectors reaches recall {need.recall} in the memory and time allowed; give more "
            "--memory or --minutes, or a lower --recall"
        )
    return best


def _tries(
    now: Snapshot, modality: str, view: View, keys: Keys, need: Requirements, say: Say
) -> Iterator[tuple[str, float]]:
    """Yield the candidates to build with their expected latencies, `extended` (the present index, updated) first."""
    fits, before = _fitting(len(keys), view.dim, need), now.manifest.fast.get(modality)
    allowed = fits if need.kind is None else [kind for kind in fits if kind == need.kind]
    if before and before.kind in allowed and not need.retrain and len(keys) < GROWN * before.trained:
        yield "extended", 0.0
    if need.kind:
        yield from ((kind, 0.0) for kind in allowed)
    else:
        yield from _ranking(view, keys, fits, need, say)


def _fitting(count: int, dim: int, need: Requirements) -> list[str]:
    """Return the kinds of index that fit into the memory."""
    sizes = {"flat": count * dim * 4} | {name: kind.size(count, dim) for name, kind in KINDS.items()}
    return [name for name, size in sizes.items() if need.memory is None or size <= need.memory]


def _ranking(view: View, keys: Keys, fits: list[str], need: Requirements, say: Say) -> list[tuple[str, float]]:
    """Rank the kinds that can be built, fastest first, by building each on a part of the vectors."""
    part = np.sort(np.random.default_rng(1).choice(keys, min(TRIED, len(keys)), replace=False))
    store = create("faiss_index", view.dim)
    store.add(part, view.vectors(part))
    small = View(view.dim, len(part), [store], lambda some: np.ones(len(some), dtype=bool))
    truth = GroundTruth.draw(small, part, seed=0)
    flat_ms = latency(small, truth) * len(keys) / len(part)
    expected = {"flat": flat_ms} if "flat" in fits else {}
    for name in fits:
        if name == "flat":
            continue
        started = time.perf_counter()
        fast = _built(name, small, part)
        minutes = (time.perf_counter() - started) / 60 * len(keys) / len(part)
        facts = _tuned(fast, truth, need.recall)
        if facts is None:
            say(f"tried {name} on {len(part)}: it stays below recall {need.recall}")
            continue
        milliseconds = facts["ms"] * KINDS[name].growth(len(part), len(keys))
        say(f"tried {name} on {len(part)}: {milliseconds:.2f} ms a query expected, {minutes:.1f} min to build")
        if minutes <= need.minutes:
            expected[name] = milliseconds
    return sorted(expected.items(), key=lambda item: item[1])


def _built(name: str, view: View, keys: Keys) -> CompressedIndex:
    base = view.exact()
    seen = max(SEEN * lists_for(len(keys)), 1 << 14)
    sample = np.sort(np.random.default_rng(2).choice(keys, min(seen, len(keys)), replace=False))
    fast = CompressedIndex.train(KINDS[name].factory(len(keys), view.dim), view.vectors(sample), base)
    fast.fill(in_chunks(keys, CHUNK))
    return fast


def _extended(now: Snapshot, view: View, keys: Keys, before: FastIndex) -> CompressedIndex:
    """Add to the present index what came since, with its quantizer unchanged."""
    assert now.folder is not None
    path = Checked(now.folder).path(before.file)
    fast = CompressedIndex.open(path, view.exact(), before.settings, mapped=False)
    fast.fill(in_chunks(keys[keys >= before.below], CHUNK))
    return fast


def _tuned(fast: CompressedIndex, truth: GroundTruth, target: float) -> dict[str, Any] | None:
    """Tune `fast` to reach the recall `target` on both halves of the queries; return None if it cannot."""
    tuning, measuring = truth.half(False), truth.half(True)
    for setting in fast.settings_to_try():
        fast.settings = setting
        candidates = without_own(fast.candidates(tuning.queries, DEPTHS[-1] + 1), tuning.own)
        depth = next((depth for depth in DEPTHS if tuning.recall(candidates[:, :depth]) >= target), None)
        if depth is None:
            continue
        fast.settings = {**setting, "depth": depth}
        recall = measuring.recall(without_own(fast.search(measuring.queries, K + 1)[1], measuring.own)[:, :K])
        if recall >= target:
            return {"recall": recall, "k": K, "queries": len(measuring.own), "ms": latency(fast, truth)}
    return None


def drift(folder: Path) -> dict[str, dict[str, float]]:
    """Return for each compressed index recall as recorded, recall now on other queries, and the share outside it.

    An index of vectors that were all removed is left out.
    """
    now, drifts = load(folder), dict[str, dict[str, float]]()
    for modality, fast in now.manifest.fast.items():
        view = now.indexes.get(modality)
        if view is None or len(view) < 2:  # all were removed, or one is left that has no neighbor
            continue
        truth = GroundTruth.draw(view, now.table.keys_with(modality), seed=now.manifest.generation)
        recall = truth.recall(without_own(view.search(truth.queries, K + 1)[1], truth.own)[:, :K])
        drifts[modality] = {
            "recorded": fast.measured["recall"],
            "recall": recall,
            "target": fast.measured["target"],
            "outside": max(0.0, 1 - fast.count / len(view)),
        }
    return drifts
