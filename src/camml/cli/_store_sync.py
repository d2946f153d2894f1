"""`camml store sync`: a datastore brought up to date with a folder."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from camml.cli._output import print_json
from camml.cli._store import Skipped, add_progress, add_store
from camml.progress import progress_bar

if TYPE_CHECKING:
    from camml.errors import InputError
    from camml.types import Sample

SUMMARY = "bring a datastore up to date with a folder of pictures and PDF files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="nothing in it is changed or deleted")
    add_store(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="where pictures of pages go (default: FOLDER-images)"
    )
    parser.add_argument(
        "--moved-from", default="", metavar="ORIGIN", help="the samples' origin before FOLDER was moved"
    )
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="samples embedded at a time")
    parser.add_argument(
        "--on-bad", choices=("stop", "skip"), default="stop", help="at a file that cannot be used (default: stop)"
    )
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Compare, change in one step, and say what was done."""
    from camml.datastore import open_store
    from camml.datastore.syncing import plan
    from camml.errors import SampleError

    started, skipped = time.perf_counter(), Skipped(args.on_bad)

    def unread(error: SampleError) -> None:
        if not skipped.skips:
            raise error
        skipped.report(error)

    unusable = set[str]()

    def left_out(sample: "Sample", error: "InputError") -> None:
        skipped.on_bad(sample, error)
        unusable.add(sample.id)

    datastore, _ = open_store(args.store)
    planned = plan(datastore, args.folder, args.images, unread, args.moved_from)
    samples = [*planned.added, *planned.changed]
    if (samples or planned.gone) and not args.dry_run:
        with progress_bar("embedding", "samples", show=args.progress or None) as progress:
            datastore.update(samples, planned.gone, batch_size=args.batch_size, on_bad=left_out, progress=progress)
    ids = {
        "added": [sample.id for sample in planned.added if sample.id not in unusable],
        "updated": [sample.id for sample in planned.changed if sample.id not in unusable],
    }
    counts = {
        "added": len(ids["added"]),
        "updated": len(ids["updated"]),
        "removed": len(planned.gone),
        "unchanged": planned.unchanged,
    }
    seconds = round(time.perf_counter() - started, 3)
    if args.json:
        facts = {"store": args.store, "dry_run": args.dry_run, **counts, "samples": len(datastore)}
        print_json({**facts, "ids": {**ids, "removed": planned.gone}, "skipped": skipped.errors, "seconds": seconds})
        return 0
    would = "would be " if args.dry_run else ""
    also = f", {len(skipped.errors)} skipped" if skipped.errors else ""
    print(
        f"{counts['added']} {would}added, {counts['updated']} updated, {counts['removed']} removed, "
        f"{counts['unchanged']} unchanged{also} in {seconds:.1f} s; {args.store} holds {len(datastore)} samples"
    )
    return 0
