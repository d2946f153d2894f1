"""`camml bench-data`: the project's own benchmarks and reading data, made on this machine."""

import argparse
from pathlib import Path
from typing import Any

from camml.errors import OptionError

SUMMARY = "Build FactPix and OwnPix, questions about pictures, and reading data to train on."
SETS = ("factpix", "ownpix")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their options."""
    from camml.cli import _bench_reading

    actions = parser.add_subparsers(title="what to do", dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="fetch packages, render pictures, write samples and questions")
    build.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write; a second run resumes")
    build.add_argument("--set", default="factpix", help=f"which benchmark: {', '.join(SETS)} (default: %(default)s)")
    build.add_argument("--size", default="full", help="full, or small: a few dozen things (default: %(default)s)")
    build.add_argument("--seed", type=int, default=0, help="of all that is drawn by lot (default: %(default)s)")
    build.add_argument("--topics", default="", metavar="A,B", help="only these topics (default: all of the size)")
    build.add_argument("--processes", type=int, default=2, help="that render at the same time (default: %(default)s)")
    build.add_argument("--json", action="store_true", help="print the counts as one JSON document")
    build.set_defaults(act=run_build)
    _bench_reading.add_actions(actions)


def run(args: argparse.Namespace) -> int:
    """Do what is asked for, and say what there is."""
    code: int = args.act(args)
    return code


def run_build(args: argparse.Namespace) -> int:
    """Build one of the benchmarks."""
    from camml import factpix, ownpix
    from camml.cli._output import print_json

    builders = {"factpix": factpix.build, "ownpix": ownpix.build}
    if args.set not in builders:
        raise OptionError(f"no set {args.set!r}; there are: {', '.join(SETS)}")
    if args.processes < 1:
        raise OptionError(f"--processes is {args.processes}; it must be 1 or more")
    topics = [name.strip() for name in args.topics.split(",") if name.strip()]
    manifest = builders[args.set](args.out, size=args.size, seed=args.seed, topics=topics, processes=args.processes)
    if args.json:
        print_json({"path": str(args.out), **manifest["counts"]})
    else:
        print(describe(manifest, args.out))
    return 0


def describe(manifest: dict[str, Any], out: Path) -> str:
    """Return what was built, in words."""
    counts = manifest["counts"]
    images = ", ".join(f"{count} of {topic}" for topic, count in counts["images"].items())
    questions = ", ".join(f"{kinds['all']} {name}" for name, kinds in counts["questions"].items())
    return f"{out}: pictures: {images}; {counts['samples']} samples; questions: {questions}"
