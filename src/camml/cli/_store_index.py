"""`camml store index`: a compressed index for fast search in little memory."""

import argparse
import sys
from pathlib import Path

from camml.cli._output import print_json
from camml.cli._sizes import size_in_words, size_of
from camml.cli._store import add_store

SUMMARY = "make searching fast in little memory, at a recall that is measured"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_store(parser)
    parser.add_argument("--memory", metavar="SIZE", help="what the index may take, such as 1GB (default: no limit)")
    parser.add_argument(
        "--recall", type=float, default=0.99, help="of the 3 nearest, the part to be found (default: %(default)s)"
    )
    parser.add_argument("--kind", help="flat, sq8, ivf, hnsw or rabitq (default: the fastest of those that fit)")
    parser.add_argument("--retrain", action="store_true", help="start again even if the present index can be extended")
    parser.add_argument("--minutes", type=float, default=60, help="most time to build (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Build it and say what was measured."""
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
