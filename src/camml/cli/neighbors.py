"""`camml neighbors`: the neighbors of every sample of a dataset, once, so that training needs no encoder."""

import argparse
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml.cli._datastore import add_encoder_option, add_store_images, encoder_options
from camml.cli._output import print_json
from camml.cli._ray import add_ray, cluster_of
from camml.errors import InputError
from camml.progress import progress_bar

if TYPE_CHECKING:
    from camml.datastore import Datastore
    from camml.encoders import Encoder
    from camml.neighbors import Retrieve, Spread
    from camml.retriever import Retriever

SUMMARY = "Compute the neighbors of every sample of a training set in a datastore, ahead of training."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("dataset", type=Path, metavar="DATA", help="the training set, LLaVA JSON or JSON lines")
    parser.add_argument("store", metavar="STORE", help="a datastore, or INDEX_FILE:DATA_JSON as published")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--images", type=Path, metavar="DIR", help="where image paths start (default: beside DATA)")
    add_store_images(parser)
    parser.add_argument(
        "--mode", help="auto, text-image, image-image, text-text or fused (default: the model's, or auto)"
    )
    parser.add_argument("--model", metavar="DIR", help="the model that is to be trained on: how it wants samples found")
    parser.add_argument(
        "--allow-none", action="store_true", help="no neighbors for samples without what the mode searches by"
    )
    parser.add_argument(
        "--keep-duplicates", action="store_true", help="near-duplicates of a sample may be its neighbors too"
    )
    parser.add_argument("--k", type=int, default=10, metavar="N", help="neighbors of each sample (%(default)s)")
    parser.add_argument(
        "--encoder",
        metavar="NAME",
        help="encoder that built the vectors; needed only if the datastore does not record it",
    )
    add_encoder_option(parser)
    parser.add_argument("--batch-size", type=int, default=256, metavar="N", help="samples at a time (%(default)s)")
    add_ray(parser)
    parser.add_argument(
        "--on-bad", choices=("stop", "skip"), default="stop", help="at a sample that cannot be used (%(default)s)"
    )
    parser.add_argument("--progress", action="store_true", help="show a progress bar even if stderr is not a terminal")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Compute, or go on where an earlier call was interrupted."""
    from camml import neighbors
    from camml.data import llava_json, origins
    from camml.datastore import check_pictures, open_store
    from camml.retriever import POLICY

    started = time.perf_counter()
    skipped: list[str] = []

    def report(error: InputError) -> None:
        skipped.append(str(error))
        print(f"camml: skipped: {error}", file=sys.stderr)

    flags = llava_json.Flags("--images DIR", "--on-bad skip")
    conversations = llava_json.read(args.dataset, args.images, on_bad=args.on_bad, report=report, flags=flags)
    options = encoder_options(args)
    args.mode = args.mode or _wanted_mode(args)
    datastore, encoder = open_store(args.store, args.encoder, options or None, args.store_images)
    check_pictures(args.store, datastore, args.store_images)  # the table holds their paths, and training opens them
    retriever = _retriever(datastore, encoder, args.mode, args.keep_duplicates)
    store_hash, generation = origins.store_state(args.store)
    origin = neighbors.Origin(
        dataset=str(args.dataset),
        dataset_hash=origins.file_hash(args.dataset),
        store=args.store,
        store_hash=store_hash,
        generation=generation,
        encoder=f"{encoder.name} {encoder.revision}",
        mode=args.mode,
        k=args.k,
        keep_duplicates=args.keep_duplicates,
        policy=POLICY,
        allow_none=args.allow_none,
    )
    queries = [conversation.query for conversation in conversations]
    with progress_bar("neighbors", "samples", show=args.progress or None) as progress:
        table = neighbors.compute(
            queries,
            retriever.retrieve_some if args.allow_none else retriever.retrieve,
            args.out,
            origin,
            batch_size=args.batch_size,
            spread=_spread(args, options),
            progress=progress,
        )
    _report(args, len(table), skipped, round(time.perf_counter() - started, 3))
    return 0


def _wanted_mode(args: argparse.Namespace) -> str:
    """Return how the model of `--model` wants samples found, if one is given.

    Raises:
      EncoderMismatchError: the datastore does not fit it.
    """
    if not args.model:
        return "auto"
    from camml import assistant

    model = assistant.load(args.model)
    if not args.encoder:
        model.check(args.store)
    return model.settings.mode


def _report(args: argparse.Namespace, count: int, skipped: list[str], seconds: float) -> None:
    if args.json:
        print_json({"path": str(args.out), "samples": count, "skipped": skipped, "seconds": seconds})
    else:
        also = f", {len(skipped)} skipped" if skipped else ""
        print(f"neighbors of {count} samples in {args.out}{also}, {seconds:.1f} s")


def _spread(args: argparse.Namespace, options: Mapping[str, Any]) -> "Spread | None":
    """Return what works on the chunks, where it is not this process."""
    cluster = cluster_of(args)
    if cluster is None:
        return None
    from camml.datastore import official_pair
    from camml.distributed import RayNeighbors

    files = official_pair(args.store) or [Path(args.store)]
    store = ":".join(str(file.absolute()) for file in files)  # actors work in another folder
    images = args.store_images
    images = str(Path(images).absolute()) if images and Path(images).exists() else images
    made = partial(_load, store, args.encoder, options, images, args.mode, args.keep_duplicates, args.allow_none)
    return RayNeighbors(made, cluster)


def _retriever(datastore: "Datastore", encoder: "Encoder", mode: str, keep_duplicates: bool) -> "Retriever":
    """Return what retrieves the neighbors of samples: never the sample itself, whatever is kept."""
    from camml.retriever import Retriever

    return Retriever(datastore, encoder, mode, None if keep_duplicates else "measured")


def _load(
    store: str,
    encoder_name: str | None,
    options: Mapping[str, Any],
    images: str | None,
    mode: str,
    keep_duplicates: bool,
    allow_none: bool,
) -> "Retrieve":
    """Return what retrieves, made in an actor."""
    from camml.datastore import open_store

    retriever = _retriever(*open_store(store, encoder_name, options or None, images), mode, keep_duplicates)
    return retriever.retrieve_some if allow_none else retriever.retrieve
