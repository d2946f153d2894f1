"""`camml merge`: a LoRA run, or a packed model, into an ordinary model folder."""

import argparse
from pathlib import Path

from camml.cli._output import print_json

SUMMARY = "Merge a LoRA or QLoRA run, or a packed model, into the model it started from."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "adapter", type=Path, metavar="RUN", help="folder of the run, a checkpoint in it, or a packed model"
    )
    parser.add_argument("target", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Merge, and say what was written."""
    from camml.devices import choose_dtype
    from camml.model import packed
    from camml.model.folder import is_packed

    if is_packed(args.adapter):
        packed.unpack(args.adapter, args.target, choose_dtype("float32" if args.dtype == "auto" else args.dtype))
    else:
        _merge_run(args.adapter, args.target, args.dtype)
    if args.json:
        print_json({"path": str(args.target)})
    else:
        print(f"wrote {args.target}")
    return 0


def _merge_run(adapter: Path, target: Path, dtype: str) -> None:
    """Merge a run of training.

    Raises:
      InputError: the packages for training are not there.
    """
    from camml.errors import InputError

    try:
        from camml.training import adapters
    except ImportError as error:
        raise InputError(f"merging needs more packages ({error.name}): pip install 'camml[train]'") from error
    adapters.merge(adapter, target, dtype)
