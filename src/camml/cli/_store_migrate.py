"""`camml store migrate`: the same vectors in another kind of store."""

import argparse
import time
from pathlib import Path

from camml.cli._output import print_json
from camml.cli._store import add_progress, add_store
from camml.progress import progress_bar

SUMMARY = "move the vectors to another kind of vector store"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_store(parser)
    parser.add_argument(
        "--to", required=True, metavar="KIND", help="faiss, memory, milvus://HOST:PORT or milvus://F.db"
    )
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Move them."""
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
