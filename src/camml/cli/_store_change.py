"""The actions of `camml store` that change which samples there are: build, add, remove, sync."""

import argparse
import time
from typing import TYPE_CHECKING, Any

from camml.cli._datastore import add_encoder_option, encoder_options
from camml.cli._output import given, given_path, print_json
from camml.cli._ray import add_ray, embedding_of
from camml.cli._store import (
    Action,
    Skipped,
    add_progress,
    add_source,
    add_store,
    passed_over,
    read_samples,
    report_change,
    when_free,
)
from camml.errors import InputError, OptionError
from camml.progress import progress_bar
from camml.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camml.datastore.embedding import Embed, Embedded
    from camml.types import Sample


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store build`."""
    add_source(parser)
    parser.add_argument("--out", type=given_path, required=True, metavar="DIR", help="the folder of the new datastore")
    parser.add_argument(
        "--encoder", type=given, metavar="NAME", help="what makes the vectors (default: what --model wants)"
    )
    parser.add_argument(
        "--model",
        type=given,
        metavar="DIR",
        help=f"the model that is to answer: build with the encoder and maps that it wants (default: {DEFAULT_MODEL})",
    )
    add_encoder_option(parser)
    add_ray(parser)
    parser.add_argument(
        "--vectors",
        dest="store",
        default="faiss",
        metavar="KIND",
        help="where vectors are: faiss, memory, milvus://HOST:PORT or milvus://FILE.db (default: %(default)s)",
    )
    # what --vectors was called before: everywhere else --store is a datastore
    parser.add_argument("--store", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--copy-images", action="store_true", help="keep a copy of each image in the datastore")


def run_build(args: argparse.Namespace) -> int:
    """Build the datastore."""
    from camml import encoders
    from camml.datastore import Datastore

    started, skipped = time.perf_counter(), Skipped(args.on_bad, args.source)
    encoder, options = _wanted_encoder(args)
    samples = read_samples(args, skipped)
    with progress_bar("embedding", "samples", show=args.progress or None) as progress:
        datastore = Datastore.build(
            args.out,
            samples,
            encoders.load(encoder, **options),
            encoder_options=options,
            images=args.images,
            copy_images=args.copy_images,
            store=args.store,
            batch_size=args.batch_size,
            embed=_some(embedding_of(args, encoder, options), args, skipped),
            on_bad=skipped.on_bad,
            progress=progress,
        )
    return report_change(args, {"added": len(datastore)}, datastore, skipped, started)


def _some(embed: "Embed", args: argparse.Namespace, skipped: Skipped) -> "Embed":
    """Return what makes vectors, and raises an InputError where there was something to use and nothing could be."""

    def embed_some(*given: Any, **settings: Any) -> "Iterator[Embedded]":
        count = 0
        for part in embed(*given, **settings):
            count += len(part.samples)
            yield part
        if skipped.errors and not count:
            raise InputError(
                f"{args.source} holds no sample that can be used (left out: {len(skipped.errors)}); nothing was built"
            )

    return embed_some


def _wanted_encoder(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return the name of the encoder and its options: as given, else as the model wants them.

    Raises:
      OptionError: both are given.
    """
    given = encoder_options(args)
    if args.encoder or given:
        if args.model:
            raise OptionError("--model says which encoder it wants; leave out --encoder and --encoder-option")
        return args.encoder or "mini", given
    from camml import assistant

    wanted = assistant.load(args.model or DEFAULT_MODEL).settings
    return wanted.encoder, dict(wanted.encoder_options)


def add_add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store add`."""
    add_source(parser)
    add_store(parser)
    parser.add_argument("--upsert", action="store_true", help="replace samples whose ids are there already")
    add_ray(parser)


def run_add(args: argparse.Namespace) -> int:
    """Add the samples of the file."""
    from camml.datastore import open_store

    started, skipped = time.perf_counter(), Skipped(args.on_bad, args.source)
    samples = read_samples(args, skipped)
    datastore, _ = open_store(args.store)
    record = datastore.manifest.encoder
    embed = embedding_of(args, record.name, record.options)
    before = 0

    def embed_and_count(*given: Any, **settings: Any) -> "Iterator[Embedded]":
        nonlocal before
        before = len(datastore)  # only here it is up to date, and no other process writes
        return embed(*given, **settings)

    with progress_bar("embedding", "samples", show=args.progress or None) as progress:
        options: dict[str, Any] = {
            "batch_size": args.batch_size,
            "embed": embed_and_count,
            "on_bad": skipped.on_bad,
            "progress": progress,
        }
        if not args.upsert:
            count = when_free(lambda: datastore.add(samples, **options))
            return report_change(args, {"added": count}, datastore, skipped, started)
        count = when_free(lambda: datastore.update(samples, **options))
    added = datastore.manifest.counts["samples"] - before
    return report_change(args, {"added": added, "replaced": count - added}, datastore, skipped, started)


def add_remove_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store remove`."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="ids of samples, as `camml store search` shows them")
    add_store(parser)


def run_remove(args: argparse.Namespace) -> int:
    """Remove the samples."""
    from camml.datastore import Datastore

    started = time.perf_counter()
    datastore = Datastore.open(args.store)
    count = when_free(lambda: datastore.remove(args.ids))
    return report_change(args, {"removed": count}, datastore, Skipped("stop", ""), started)


def add_sync_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store sync`."""
    parser.add_argument("folder", type=given_path, metavar="FOLDER", help="nothing in it is changed or deleted")
    add_store(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be done, and do nothing; of new pictures only the beginnings are read",
    )
    parser.add_argument(
        "--images", type=given_path, metavar="DIR", help="where pictures of pages go (default: FOLDER-images)"
    )
    parser.add_argument(
        "--moved-from", default="", metavar="ORIGIN", help="the samples' origin before FOLDER was moved"
    )
    parser.add_argument(
        "--batch-size", type=int, default=32, metavar="N", help="samples embedded at a time (%(default)s)"
    )
    parser.add_argument(
        "--on-bad", choices=("stop", "skip"), help="at a file that cannot be used (default: skip and list it)"
    )
    add_progress(parser)


def run_sync(args: argparse.Namespace) -> int:
    """Compare, change in one step, and say what was done."""
    from camml.datastore import Datastore, open_store
    from camml.datastore.syncing import plan, unusable

    started, skipped = time.perf_counter(), Skipped(args.on_bad, args.folder)

    left = set[str]()

    def left_out(sample: "Sample", error: InputError) -> None:
        skipped.on_bad(sample, error)
        left.add(sample.id)

    datastore = Datastore.open(args.store)
    planned = plan(datastore, args.folder, args.images, skipped.refuse, args.moved_from)
    samples = [*planned.added, *planned.changed]
    if args.dry_run:
        for sample, error in unusable(samples):
            left_out(sample, error)
    elif samples or planned.gone:
        datastore, _ = open_store(args.store)  # only now, with its encoder: most calls find nothing new
        with progress_bar("embedding", "samples", show=args.progress or None) as progress:
            options: dict[str, Any] = {"batch_size": args.batch_size, "on_bad": left_out, "progress": progress}
            when_free(lambda: datastore.update(samples, planned.gone, **options))
    ids = {
        "added": [sample.id for sample in planned.added if sample.id not in left],
        "updated": [sample.id for sample in planned.changed if sample.id not in left],
    }
    counts = {
        "added": len(ids["added"]),
        "updated": len(ids["updated"]),
        "removed": len(planned.gone),
        "unchanged": planned.unchanged,
    }
    seconds = round(time.perf_counter() - started, 3)
    if args.json:
        facts = {"store": args.store, "dry_run": args.dry_run, **counts, "samples": len(datastore)}
        not_read = {"skipped": skipped.errors, "passed_over": passed_over(args.folder)}
        print_json({**facts, "ids": {**ids, "removed": planned.gone}, **not_read, "seconds": seconds})
        return 0
    would = "would be " if args.dry_run else ""
    also = f", {len(skipped.errors)} skipped" if skipped.errors else ""
    print(
        f"{counts['added']} {would}added, {counts['updated']} updated, {counts['removed']} removed, "
        f"{counts['unchanged']} unchanged{also} in {seconds:.1f} s; {args.store} holds {len(datastore)} samples"
    )
    return 0


ACTIONS = (
    Action("build", "index the samples of a file in a new datastore", add_build_arguments, run_build),
    Action("add", "add the samples of a file", add_add_arguments, run_add),
    Action("remove", "remove samples by id", add_remove_arguments, run_remove),
    Action(
        "sync", "bring a datastore up to date with a folder of pictures and PDF files", add_sync_arguments, run_sync
    ),
)
