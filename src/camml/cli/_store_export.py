"""`camml store export`: the samples of a datastore as a table for other programs."""

import argparse
import time
from pathlib import Path

from camml.cli._output import print_json
from camml.cli._store import add_store

SUMMARY = "write the samples to a table that other programs read: .parquet, .arrow or .csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write; its ending says the format")
    add_store(parser)
    parser.add_argument("--vectors", action="store_true", help="with the vectors of pictures and texts")


def run(args: argparse.Namespace) -> int:
    """Write it."""
    from camml.datastore import Datastore, export

    started = time.perf_counter()
    count = export(Datastore.open(args.store), args.out, args.vectors)
    seconds = time.perf_counter() - started
    if args.json:
        print_json({"path": str(args.out), "samples": count, "seconds": round(seconds, 3)})
    else:
        print(f"{count} samples in {args.out}, {seconds:.1f} s")
    return 0
