"""`camml store build`: a new datastore."""

import argparse
import time
from pathlib import Path
from typing import Any

from camml.cli._encoder import add_encoder_option, encoder_options
from camml.cli._ray import add_ray, embedding_of
from camml.cli._store import Skipped, add_source, read_samples, report_change
from camml.errors import OptionError
from camml.progress import progress_bar
from camml.weights import DEFAULT_MODEL

SUMMARY = "index the samples of a file in a new datastore"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_source(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder of the new datastore")
    parser.add_argument("--encoder", metavar="NAME", help="what makes the vectors (default: what --model wants)")
    parser.add_argument(
        "--model",
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


def run(args: argparse.Namespace) -> int:
    """Build it."""
    from camml import encoders
    from camml.datastore import Datastore

    started, skipped = time.perf_counter(), Skipped(args.on_bad)
    encoder, options = _encoder(args)
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
            embed=embedding_of(args, encoder, options),
            on_bad=skipped.on_bad,
            progress=progress,
        )
    return report_change(args, {"added": len(datastore)}, datastore, skipped, started)


def _encoder(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
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
