"""`camml store check`: every byte read again, and the recall of compressed indexes measured again."""

import argparse
from pathlib import Path

from camml.cli._output import print_json
from camml.cli._store import add_store

SUMMARY = "read every byte again, and measure compressed indexes again; exit code 1 if anything is wrong"
OUTSIDE = 0.2
"""The part of the vectors outside a compressed index from which it is worth extending: they are searched one by one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Check and say what was found."""
    from camml.datastore import indexing, verify

    problems, folder = verify(Path(args.store)), Path(args.store)
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
        print("\n".join([*problems, *advice]) or f"{args.store} is as it was written")
    return 1 if problems or any(facts["recall"] < facts["target"] for facts in drifts.values()) else 0
