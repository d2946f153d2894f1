"""`camml store add`: more samples."""

import argparse
import time
from typing import Any

from camml.cli._ray import add_ray, embedding_of
from camml.cli._store import Skipped, add_source, add_store, read_samples, report_change, when_free
from camml.progress import progress_bar

SUMMARY = "add the samples of a file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_source(parser)
    add_store(parser)
    parser.add_argument("--upsert", action="store_true", help="replace samples whose ids are there already")
    add_ray(parser)


def run(args: argparse.Namespace) -> int:
    """Add them."""
    from camml.datastore import open_store

    started, skipped = time.perf_counter(), Skipped(args.on_bad)
    samples = read_samples(args, skipped)
    datastore, _ = open_store(args.store)
    record = datastore.manifest.encoder
    before = datastore.manifest.counts["samples"]
    with progress_bar("embedding", "samples", show=args.progress or None) as progress:
        options: dict[str, Any] = {
            "batch_size": args.batch_size,
            "embed": embedding_of(args, record.name, record.options),
            "on_bad": skipped.on_bad,
            "progress": progress,
        }
        if not args.upsert:
            count = when_free(lambda: datastore.add(samples, **options))
            return report_change(args, {"added": count}, datastore, skipped, started)
        count = when_free(lambda: datastore.update(samples, **options))
    added = datastore.manifest.counts["samples"] - before
    return report_change(args, {"added": added, "replaced": count - added}, datastore, skipped, started)
