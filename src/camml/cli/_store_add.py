"""`camml store add`: more samples."""

import argparse
import time

from camml.cli._ray import add_ray, embedding_of
from camml.cli._store import Skipped, add_source, add_store, progress_bar, read_samples, report_change, when_free

SUMMARY = "add the samples of a file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_source(parser)
    add_store(parser)
    add_ray(parser)


def run(args: argparse.Namespace) -> int:
    """Add them."""
    from camml.datastore import open_store

    started, skipped = time.perf_counter(), Skipped(args.on_bad)
    samples = read_samples(args, skipped)
    datastore, _ = open_store(args.store)
    record = datastore.manifest.encoder
    with progress_bar(args, "embedding", "samples") as progress:
        count = when_free(
            lambda: datastore.add(
                samples,
                batch_size=args.batch_size,
                embed=embedding_of(args, record.name, record.options),
                on_bad=skipped.on_bad,
                progress=progress,
            )
        )
    return report_change(args, {"added": count}, datastore, skipped, started)
