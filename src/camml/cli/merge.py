"""`camml merge`: a LoRA run, or a packed model, into an ordinary model folder."""

import argparse
from pathlib import Path

from camml.cli._output import print_json

SUMMARY = "Merge a LoRA or QLoRA run, or a packed model, with the model it started from, into a new folder."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "adapter", metavar="RUN", help="folder of the run, a checkpoint in it, or a packed model's folder or name"
    )
    parser.add_argument("target", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Merge, and say what was written."""
    from camml import weights
    from camml.model.loading import merge

    merge(weights.folder(args.adapter), args.target, args.dtype)
    if args.json:
        print_json({"path": str(args.target)})
    else:
        print(f"wrote {args.target}")
    return 0
