"""`camml bench-data`: the project's own benchmark, FactPix, built on this machine from public packages."""

import argparse
from pathlib import Path
from typing import Any

from camml.errors import OptionError

SUMMARY = "Build FactPix: knowledge questions about pictures, to train on and to measure with."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-command and its options."""
    actions = parser.add_subparsers(title="what to do", dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="fetch packages, render pictures, write samples and questions")
    build.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write; a second run resumes")
    build.add_argument("--size", default="full", help="full, or small: a few hundred pictures (default: %(default)s)")
    build.add_argument("--seed", type=int, default=0, help="of splits, styles and wordings (default: %(default)s)")
    build.add_argument("--topics", default="", metavar="A,B", help="only these topics (default: all of the size)")
    build.add_argument("--processes", type=int, default=2, help="that render at the same time (default: %(default)s)")
    build.add_argument("--json", action="store_true", help="print the counts as one JSON document")


def run(args: argparse.Namespace) -> int:
    """Build, and say what there is."""
    from camml import factpix
    from camml.cli._output import print_json

    if args.processes < 1:
        raise OptionError(f"--processes is {args.processes}; it must be 1 or more")
    topics = [name.strip() for name in args.topics.split(",") if name.strip()]
    manifest = factpix.build(args.out, size=args.size, seed=args.seed, topics=topics, processes=args.processes)
    if args.json:
        print_json({"path": str(args.out), **manifest["counts"]})
    else:
        print(describe(manifest, args.out))
    return 0


def describe(manifest: dict[str, Any], out: Path) -> str:
    """What was built, for a person."""
    counts = manifest["counts"]
    images = ", ".join(f"{count} of {topic}" for topic, count in counts["images"].items())
    questions = ", ".join(f"{kinds['all']} {name}" for name, kinds in counts["questions"].items())
    return f"{out}: pictures: {images}; {counts['samples']} samples; questions: {questions}"
