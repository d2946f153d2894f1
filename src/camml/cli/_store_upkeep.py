"""The actions of `camml store` for checking a datastore and making it fast: check, index, calibrate, cache, migrate."""

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from camml.cli._output import given, print_json, quiet_unless_watched
from camml.cli._store import Action, add_progress, add_store
from camml.progress import progress_bar
from camml.sizes import size_in_words, size_of

OUTSIDE = 0.2
"""The part of the vectors outside a compressed index from which it is worth extending: they are searched one by one."""


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store check`."""
    add_store(parser)
    parser.add_argument(
        "--decode",
        action="store_true",
        help="read pictures elsewhere to their ends, to find all that are cut short or were replaced (slow)",
    )


def run_check(args: argparse.Namespace) -> int:
    """Check and say what was found."""
    from camml.datastore import indexing, verify

    folder = Path(args.store)
    problems = verify(folder, args.decode)
    drifts = {} if problems else indexing.drift(folder)
    advice = []
    for modality, facts in drifts.items():
        if facts["recall"] < facts["target"]:
            advice.append(
                f"recall of {modality} fell from {facts['recorded']:.4f} to {facts['recall']:.4f}, below "
                f"{facts['target']}: run `camml store index --retrain --store {args.store}`"
            )
        elif facts["outside"] > OUTSIDE:
            advice.append(
                f"{facts['outside']:.0%} of the {modality} vectors are not in the index: run `camml store index "
                f"--store {args.store}`"
            )
    if args.json:
        print_json({"store": args.store, "problems": problems, "indexes": drifts, "advice": advice})
    else:
        for modality, facts in drifts.items():
            print(f"{modality}: recall {facts['recall']:.4f} (when built {facts['recorded']:.4f})")
        print("\n".join([*problems, *advice]) or f"{args.store} is as it was written{_but(folder, args.decode)}")
    return 1 if problems or any(facts["recall"] < facts["target"] for facts in drifts.values()) else 0


def _but(folder: Path, decoded: bool) -> str:
    """Say what a check found of pictures that are not in the datastore, and what it cannot tell."""
    from camml.datastore import read_manifest
    from camml.datastore.checks import unrecorded

    manifest = read_manifest(folder)
    count = manifest.counts["image"]
    if manifest.copies or not count:
        return ""
    state = "can be read" if decoded else "begin as pictures do"
    if unknown := unrecorded(folder):
        return (
            f"; its pictures are there and {state}; whether {unknown} of {count} are still the same is not known: an "
            "earlier version indexed them"
        )
    return f"; its pictures are there and {state}, and none {'was' if decoded else 'seems to be'} replaced"


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store index`."""
    add_store(parser)
    parser.add_argument("--memory", metavar="SIZE", help="what the index may take, such as 1GB (default: no limit)")
    parser.add_argument(
        "--recall", type=float, default=0.99, help="of the 3 nearest, the part to be found (default: %(default)s)"
    )
    parser.add_argument("--kind", help="flat, sq8, ivf, hnsw or rabitq (default: the fastest of those that fit)")
    parser.add_argument("--retrain", action="store_true", help="start again even if the present index can be extended")
    parser.add_argument("--minutes", type=float, default=60, help="most time to build (default: %(default)s)")


def run_index(args: argparse.Namespace) -> int:
    """Build the index, and say what was measured."""
    from camml.datastore import indexing

    memory = None if args.memory is None else size_of(args.memory, "--memory")
    required = indexing.Requirements(memory, args.recall, args.kind, args.retrain, args.minutes)
    made = indexing.index(Path(args.store), required, lambda line: print(f"camml: {line}", file=sys.stderr))
    facts = {
        modality: {"kind": fast.kind, "count": fast.count, **fast.settings, **fast.measured}
        for modality, fast in made.items()
    }
    if args.json:
        print_json({"store": args.store, "indexes": facts})
        return 0
    if not facts:
        print(f"{args.store} is searched exactly: no index is faster")
    for modality, fact in facts.items():
        print(
            f"{modality}: {fact['kind']}, {fact['count']} vectors in {size_in_words(fact['bytes'])}, recall at "
            f"{fact['k']} {fact['recall']:.4f} on {fact['queries']} queries, {fact['ms']:.2f} ms a query "
            f"(exact: {fact['flat_ms']:.2f} ms)"
        )
    return 0


def add_calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store calibrate`."""
    add_store(parser)
    parser.add_argument(
        "--false-refusals", type=float, default=0.05, metavar="P",
        help="the share of questions about what is there that may be refused (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--samples", type=int, default=256, metavar="N", help="samples to look at, 24 or more (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the samples that are drawn (%(default)s)")


def run_calibrate(args: argparse.Namespace) -> int:
    """Measure, write, and say what was found."""
    from camml.datastore import calibrate, open_store, save_calibration
    from camml.datastore.calibration import read

    datastore, encoder = open_store(args.store)
    calibration = calibrate(datastore, encoder, false_refusals=args.false_refusals, most=args.samples, seed=args.seed)
    path = save_calibration(datastore, calibration)
    if args.json:
        print_json({"path": str(path), **asdict(read(path.parent) or calibration)})  # as it is kept, with its time
        return 0
    print(f"{'search':12} {'threshold':>11} {'pairs':>6}  false accepts")
    for name, least in calibration.searches.items():
        print(f"{name:12} {least.score:11.4f} {least.own:6}  {100 * least.strangers:.1f} %")
    share = f"{100 * calibration.false_refusals:g} %"
    print(f"{path}: thresholds chosen so that at most {share} of the answerable questions are refused")
    return 0


def add_cache_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store cache`."""
    add_store(parser)
    parser.add_argument("--model", type=given, required=True, metavar="DIR", help="a CaMML model folder")
    parser.add_argument("--lazy", action="store_true", help="compute nothing now: answering fills the cache")
    parser.add_argument("--cache-gb", type=float, default=16.0, metavar="GB", help="its largest size (%(default)s)")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, ... (default: the best there is)")
    parser.add_argument("--dtype", metavar="NAME", help="float32, bfloat16 or float16 (default: by device)")
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="samples at a time (%(default)s)")
    add_progress(parser)


def run_cache(args: argparse.Namespace) -> int:
    """Compute what is missing; an interrupted call goes on where it stopped."""
    from camml import weights
    from camml.answering.perceiver import load
    from camml.datastore import Datastore
    from camml.features.samples import FOLDER
    from camml.sizes import check_batch_size

    check_batch_size(args.batch_size)
    quiet_unless_watched()
    started = time.perf_counter()
    samples = Datastore.open(args.store)
    folder = Path(args.store) / FOLDER
    answerer = load(weights.folder(args.model), args.device, args.dtype, folder, args.cache_gb)
    assert answerer.cached is not None
    folder.mkdir(exist_ok=True)
    computed = 0
    if not args.lazy:
        with progress_bar("caching", "samples", show=args.progress or None) as progress:
            total = len(samples)
            computed = answerer.cached.fill(samples, lambda done: progress(done, total), args.batch_size)
    facts: dict[str, Any] = {
        "path": str(folder),
        "samples": len(samples),
        "computed": computed,
        "bytes": answerer.cached.cache.size(),
        "seconds": round(time.perf_counter() - started, 3),
    }
    if args.json:
        print_json(facts)
    else:
        megabytes = facts["bytes"] / 1e6
        print(f"{folder}: {computed} samples computed, {megabytes:.1f} MB, {facts['seconds']:.1f} s")
    return 0


def add_migrate_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store migrate`."""
    add_store(parser)
    parser.add_argument(
        "--to", required=True, metavar="KIND", help="faiss, memory, milvus://HOST:PORT or milvus://F.db"
    )
    add_progress(parser)


def run_migrate(args: argparse.Namespace) -> int:
    """Move the vectors."""
    from camml.datastore import migration

    started = time.perf_counter()
    with progress_bar("moving", "vectors", show=args.progress or None) as progress:
        count = migration.migrate(Path(args.store), args.to, progress)
    seconds = round(time.perf_counter() - started, 3)
    if args.json:
        print_json({"store": args.store, "to": args.to, "vectors": count, "seconds": seconds})
    else:
        print(f"moved {count} vectors of {args.store} to {args.to} in {seconds:.1f} s")
    return 0


ACTIONS = (
    Action(
        "check",
        "read every byte of a datastore again, and the beginning of each picture elsewhere, and name pictures that "
        "were replaced; measure compressed indexes again; exit code 1 if anything is wrong",
        add_check_arguments,
        run_check,
    ),
    Action(
        "index", "make searching fast in little memory, at a recall that is measured", add_index_arguments, run_index
    ),
    Action(
        "calibrate",
        "find from which score on samples are near enough to answer from, and keep it beside the datastore",
        add_calibrate_arguments,
        run_calibrate,
    ),
    Action(
        "cache",
        "keep what a CaMML model makes of each sample, so that answering need not compute it",
        add_cache_arguments,
        run_cache,
    ),
    Action("migrate", "move the vectors to another kind of vector store", add_migrate_arguments, run_migrate),
)
