"""`camml merge`: a LoRA run into an ordinary model folder."""

import argparse
from pathlib import Path

from camml.cli._output import print_json

SUMMARY = "Merge the matrices of a LoRA or QLoRA run into the model it started from."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("adapter", type=Path, metavar="RUN", help="folder of the run, or a checkpoint in it")
    parser.add_argument("target", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Merge, and say what was written."""
    from camml.errors import InputError

    try:
        from camml.training import adapters
    except ImportError as error:
        raise InputError(f"merging needs more packages ({error.name}): pip install 'camml[train]'") from error
    adapters.merge(args.adapter, args.target, args.dtype)
    if args.json:
        print_json({"path": str(args.target)})
    else:
        print(f"wrote {args.target}")
    return 0
