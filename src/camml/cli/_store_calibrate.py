"""`camml store calibrate`: from which score on samples are near enough to answer from."""

import argparse
from dataclasses import asdict

from camml.cli._output import print_json
from camml.cli._store import add_store

SUMMARY = "find from which score on samples are near enough to answer from, and keep it beside the datastore"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_store(parser)
    parser.add_argument(
        "--false-refusals", type=float, default=0.05, metavar="P",
        help="the share of questions about what is there that may be refused (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--samples", type=int, default=256, metavar="N", help="samples to look at (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples that are drawn (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Measure, write, and say what was found."""
    from camml.datastore import calibrate, open_store, save_calibration
    from camml.errors import OptionError

    if args.samples < 1:
        raise OptionError(f"--samples is {args.samples}; give 1 or more")
    datastore, encoder = open_store(args.store)
    calibration = calibrate(datastore, encoder, false_refusals=args.false_refusals, most=args.samples, seed=args.seed)
    path = save_calibration(datastore, calibration)
    if args.json:
        print_json({"path": str(path), **asdict(calibration)})
        return 0
    print(f"{'search':12} {'least score':>11} {'pairs':>6}  strangers that have it")
    for name, least in calibration.searches.items():
        print(f"{name:12} {least.score:11.4f} {least.own:6}  {100 * least.strangers:.1f} %")
    print(f"{path}: at most {100 * calibration.false_refusals:g} % of questions about what is there are to be refused")
    return 0
