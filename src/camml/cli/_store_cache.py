"""`camml store cache`: what a model makes of each sample, computed once and kept beside a datastore."""

import argparse
import time
from pathlib import Path
from typing import Any

from camml.cli._output import print_json, quiet_unless_watched
from camml.cli._store import add_progress, add_store
from camml.progress import progress_bar

SUMMARY = "keep what a CaMML model makes of each sample, so that answering need not compute it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_store(parser)
    parser.add_argument("--model", required=True, metavar="DIR", help="a CaMML model folder")
    parser.add_argument("--lazy", action="store_true", help="compute nothing now: answering fills the cache")
    parser.add_argument("--cache-gb", type=float, default=16.0, metavar="GB", help="its largest size (%(default)s)")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, ... (default: the best there is)")
    parser.add_argument("--dtype", metavar="NAME", help="float32, bfloat16 or float16 (default: by device)")
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="samples at a time (%(default)s)")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Compute what is missing; an interrupted call goes on where it stopped."""
    from camml import weights
    from camml.answering.perceiver import load
    from camml.datastore import Datastore
    from camml.datastore.store import check_batch_size
    from camml.features.samples import FOLDER

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
