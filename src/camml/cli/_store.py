"""Parts that the actions of `camml store` share: options, samples left out, the report of a change."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from camml.cli._datastore import add_store_images
from camml.cli._output import given, given_path, print_json
from camml.errors import CaMMLError, InputError, StoreLockedError

WRITER_SECONDS = 30.0
"""How long a change waits for another process that writes to the datastore."""

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camml.datastore import Datastore
    from camml.types import Sample


class Action(NamedTuple):
    """An action of `camml store`: its name, a line for the help, and what declares its options and does it."""

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_source(parser: argparse.ArgumentParser) -> None:
    """Declare the file of samples and how it is read."""
    parser.add_argument(
        "source",
        type=given,
        metavar="SOURCE",
        help="a folder of pictures and PDF files, or one PDF; LLaVA JSON, datastore JSON, JSONL, CSV, Arrow, a saved "
        "dataset; Parquet or WebDataset files, also s3://...",
    )
    parser.add_argument("--format", metavar="NAME", help="the format of SOURCE (default: found by looking)")
    parser.add_argument(
        "--mend-ids", action="store_true", help="replace slashes in ids, number repeated ids (LLaVA JSON: always)"
    )
    parser.add_argument(
        "--images",
        type=given_path,
        metavar="DIR",
        help="where image paths start (default: SOURCE's folder), or pictures of pages go",
    )
    parser.add_argument(
        "--batch-size", type=int, default=32, metavar="N", help="samples embedded at a time (%(default)s)"
    )
    parser.add_argument(
        "--on-bad",
        choices=("stop", "skip"),
        help="at a sample that cannot be used (default: skip and list it in a folder of files, otherwise stop)",
    )
    add_progress(parser)


def add_progress(parser: argparse.ArgumentParser) -> None:
    """Declare the option that shows a progress bar."""
    parser.add_argument("--progress", action="store_true", help="show a progress bar even if stderr is not a terminal")


def add_store(parser: argparse.ArgumentParser, *, official: bool = False) -> None:
    """Declare which datastore is meant."""
    also = ", or INDEX_FILE:DATA_JSON as published" if official else ""
    parser.add_argument("--store", type=given, required=True, metavar="DIR", help=f"the datastore{also}")
    if official:
        add_store_images(parser)


class Skipped:
    """The samples left out, with `--on-bad skip` or from a folder of files; each is named on standard error."""

    def __init__(self, on_bad: str | None, source: str | Path) -> None:
        self.errors: list[str] = []
        self.choice = on_bad or ("skip" if Path(source).is_dir() else "stop")
        self.skips = self.choice == "skip"

    def report(self, error: CaMMLError) -> None:
        """Note one that could not be read."""
        self.errors.append(str(error))
        print(f"camml: skipped: {error}", file=sys.stderr)

    def on_bad(self, sample: "Sample", error: InputError) -> None:
        """Note one that cannot be stored, or stop there."""
        self.refuse(error)

    def refuse(self, error: InputError) -> None:
        """Note one that cannot be used, or stop there."""
        if not self.skips:
            raise type(error)(f"{error}; or leave out what cannot be used: --on-bad skip")
        self.report(error)


def read_samples(args: argparse.Namespace, skipped: Skipped) -> "Iterator[Sample]":
    """Yield the samples of the file given."""
    from camml import formats

    return formats.read(
        args.source,
        format=args.format,
        images=args.images,
        on_bad=skipped.choice,
        report=skipped.report,
        mend_ids=args.mend_ids or None,  # None: where the format is LLaVA JSON
    )


def passed_over(source: str | Path, format: str | None = None) -> dict[str, int]:
    """Return how many files of a folder of pictures are not read, by their endings."""
    from camml.formats import folder

    pictures = format in (None, "folder") and Path(source).is_dir()
    return {ending: len(names) for ending, names in folder.passed_over(Path(source)).items()} if pictures else {}


def when_free(change: Callable[[], int]) -> int:
    """Return what `change` does to a datastore, after waiting for a while for another process that writes to it.

    Raises:
      StoreLockedError: it still writes after WRITER_SECONDS.
    """
    end = time.monotonic() + WRITER_SECONDS
    told = False
    while True:
        try:
            return change()
        except StoreLockedError as error:
            if time.monotonic() > end:
                raise
            if not told:
                print(f"camml: {error}; waiting for up to {WRITER_SECONDS:g} s", file=sys.stderr)
                told = True
        time.sleep(0.1)


def report_change(
    args: argparse.Namespace, change: dict[str, int], datastore: "Datastore", skipped: Skipped, started: float
) -> int:
    """Say what was changed."""
    seconds = round(time.perf_counter() - started, 3)
    counts = dict(datastore.manifest.counts)
    name = str(getattr(args, "out", None) or args.store)  # as it was given
    if args.json:
        left_out: dict[str, Any] = {"skipped": skipped.errors}
        if hasattr(args, "source"):
            left_out |= {"passed_over": passed_over(args.source, args.format)}
        print_json({"store": name, **change, **counts, **left_out, "seconds": seconds})
        return 0
    done = ", ".join(f"{verb} {count}" for verb, count in change.items())
    also = f", {len(skipped.errors)} skipped" if skipped.errors else ""
    holds = f"{counts['samples']} samples, {counts['image']} with an image"
    print(f"{done}{also} in {seconds:.1f} s; {name} now holds {holds}")
    return 0
