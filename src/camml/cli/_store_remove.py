"""`camml store remove`: fewer samples."""

import argparse
import time

from camml.cli._store import Skipped, add_store, report_change, when_free

SUMMARY = "remove samples by id"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ids", nargs="+", metavar="ID")
    add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Remove them."""
    from camml.datastore import Datastore

    started = time.perf_counter()
    datastore = Datastore.open(args.store)
    count = when_free(lambda: datastore.remove(args.ids))
    return report_change(args, {"removed": count}, datastore, Skipped("stop"), started)
