"""`camml eval report`: runs as pages to browse."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from camml.cli._output import print_json
from camml.progress import progress_bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="what `camml eval run` wrote, or a folder of such"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the report goes")
    parser.add_argument(
        "--store",
        action="append",
        default=[],
        metavar="DIR",
        help="a datastore that runs retrieved from, to show its samples (may be given several times)",
    )
    parser.add_argument("--title", default="CaMML evaluation", help="the heading (default: %(default)s)")
    parser.add_argument("--progress", action="store_true", help="show a progress bar even if stderr is not a terminal")


def run(args: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    from camml.evaluation.report import write_report

    with progress_bar("report", "runs", show=args.progress or None) as progress:
        report = write_report(
            args.runs, args.out, stores=args.store, data=args.data, title=args.title, progress=progress
        )
    for folder in report.unfinished:
        print(f"camml: left out, not finished: {folder}", file=sys.stderr)
    if report.lost:
        name, reason = next(iter(report.lost.items()))
        print(f"camml: pictures not shown: {len(report.lost)}, the first: {name} ({reason})", file=sys.stderr)
    if args.json:
        print_json(asdict(report))
    else:
        print(f"{report.page}   (runs: {report.runs}, questions: {report.questions})")
    return 0
