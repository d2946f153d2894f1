"""`camml store`: build, change, search and describe a datastore."""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml.cli._output import json_value, key_values, neighbor_as_json, neighbor_as_text, print_json
from camml.errors import CaMMLError, InputError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camml.datastore import Datastore
    from camml.types import Sample

SUMMARY = "Build, change, search and describe a datastore."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)

    build = _action(actions, "build", _build, "index the samples of a file in a new datastore")
    _add_source(build)
    build.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder of the new datastore")
    build.add_argument(
        "--encoder", default="mini", metavar="NAME", help="what makes the vectors (default: %(default)s)"
    )
    _add_encoder_options(build)
    build.add_argument("--copy-images", action="store_true", help="keep a copy of each image in the datastore")

    add = _action(actions, "add", _add, "add the samples of a file")
    _add_source(add)
    _add_store(add)

    remove = _action(actions, "remove", _remove, "remove samples by id")
    remove.add_argument("ids", nargs="+", metavar="ID")
    _add_store(remove)

    search = _action(actions, "search", _search, "show the samples nearest to a text, an image or both")
    _add_store(search, official=True)
    search.add_argument("--text", default="", help="what to look for, in words")
    search.add_argument("--image", metavar="FILE|URL", help="a picture to look for")
    search.add_argument("-k", type=int, default=4, help="how many samples (default: %(default)s)")
    search.add_argument("--mode", default="auto", help="auto, text-image, image-image, text-text or fused")
    search.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE", help="only samples with this metadata; repeatable"
    )
    search.add_argument("--encoder", metavar="NAME", help="what made the vectors, where the datastore does not say")
    _add_encoder_options(search)

    info = _action(actions, "info", _info, "what a datastore holds")
    _add_store(info, official=True)
    info.add_argument("--verify", action="store_true", help="read every byte again; exit code 1 if any is wrong")


def run(args: argparse.Namespace) -> int:
    """Do the action asked for."""
    code: int = args.act(args)
    return code


def _action(actions: Any, name: str, act: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary.capitalize() + ".")
    parser.set_defaults(act=act)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="LLaVA JSON, datastore JSON, JSONL, CSV or a saved dataset"
    )
    parser.add_argument("--format", metavar="NAME", help="the format of SOURCE (default: found by looking)")
    parser.add_argument("--mend-ids", action="store_true", help="replace slashes in ids and number ids that repeat")
    parser.add_argument("--images", type=Path, metavar="DIR", help="where image paths start (default: SOURCE's folder)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="samples embedded at a time")
    parser.add_argument(
        "--on-bad", choices=("stop", "skip"), default="stop", help="at a sample that cannot be used (default: stop)"
    )
    parser.add_argument("--progress", action="store_true", help="show a progress bar where there is no terminal, too")


def _add_store(parser: argparse.ArgumentParser, *, official: bool = False) -> None:
    also = ", or INDEX_FILE:DATA_JSON as published" if official else ""
    parser.add_argument("--store", required=True, metavar="DIR", help=f"the datastore{also}")


def _add_encoder_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encoder-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the encoder; repeatable",
    )


def _encoder_options(args: argparse.Namespace) -> dict[str, Any]:
    return {key: json_value(text) for key, text in key_values(args.encoder_option, "--encoder-option").items()}


def _build(args: argparse.Namespace) -> int:
    from camml import encoders
    from camml.datastore import Datastore

    started, skipped = time.perf_counter(), _Skipped(args.on_bad)
    options = _encoder_options(args)
    samples = _read(args, skipped)
    with _bar(args) as progress:
        datastore = Datastore.build(
            args.out,
            samples,
            encoders.load(args.encoder, **options),
            encoder_options=options,
            images=args.images,
            copy_images=args.copy_images,
            batch_size=args.batch_size,
            on_bad=skipped.on_bad,
            progress=progress,
        )
    return _report(args, {"added": len(datastore)}, datastore, skipped, started)


def _add(args: argparse.Namespace) -> int:
    from camml.datastore import open_store

    started, skipped = time.perf_counter(), _Skipped(args.on_bad)
    samples = _read(args, skipped)
    datastore, _ = open_store(args.store)
    with _bar(args) as progress:
        count = datastore.add(samples, batch_size=args.batch_size, on_bad=skipped.on_bad, progress=progress)
    return _report(args, {"added": count}, datastore, skipped, started)


def _remove(args: argparse.Namespace) -> int:
    from camml.datastore import Datastore

    started = time.perf_counter()
    datastore = Datastore.open(args.store)
    count = datastore.remove(args.ids)
    return _report(args, {"removed": count}, datastore, _Skipped("stop"), started)


def _search(args: argparse.Namespace) -> int:
    from camml.datastore import open_store
    from camml.images import open_image
    from camml.retriever import Retriever
    from camml.types import Query

    if not args.text.strip() and not args.image:
        raise OptionError("nothing to search for; give --text, --image or both")
    where = key_values(args.where, "--where")
    image = open_image(args.image) if args.image else None
    options = _encoder_options(args)
    datastore, encoder = open_store(args.store, args.encoder, options or None)
    [context] = Retriever(datastore, encoder, args.mode).retrieve([Query(args.text, image)], args.k, where or None)
    if args.json:
        asked = {"text": args.text, "image": args.image, "mode": args.mode, "k": args.k, "where": where}
        print_json({"query": asked, "neighbors": [neighbor_as_json(neighbor) for neighbor in context]})
    else:
        for neighbor in context:
            print(neighbor_as_text(neighbor))
    return 0


def _info(args: argparse.Namespace) -> int:
    from camml.datastore import official_pair, open_official, read_manifest, verify

    pair = official_pair(args.store)
    manifest = open_official(*pair).manifest if pair else read_manifest(Path(args.store))
    encoder = manifest.encoder
    facts: dict[str, Any] = {
        "store": args.store,
        **manifest.counts,
        "encoder": encoder.name,
        "revision": encoder.revision,
        "options": dict(encoder.options),
        "image_dim": encoder.image_dim,
        "text_dim": encoder.text_dim,
        "joint": encoder.joint,
        "kind": manifest.store,
        "metric": manifest.metric,
        "images_in": manifest.images,
        "generation": manifest.generation,
        "segments": len(manifest.segments),
        "bytes": sum(file.bytes for file in manifest.files),
    }
    if args.verify:
        facts["problems"] = [] if pair else verify(Path(args.store))
    if args.json:
        print_json(facts)
    else:
        for name, value in facts.items():
            print(f"{name:10} {value}")
    return 1 if facts.get("problems") else 0


class _Skipped:
    """The samples left out, with `--on-bad skip`; each is named on standard error."""

    def __init__(self, on_bad: str) -> None:
        self.errors: list[str] = []
        self.skips = on_bad == "skip"

    def report(self, error: CaMMLError) -> None:
        """Note one that could not be read."""
        self.errors.append(str(error))
        print(f"camml: skipped: {error}", file=sys.stderr)

    def on_bad(self, sample: "Sample", error: InputError) -> None:
        """Note one that could not be stored, or stop there."""
        if not self.skips:
            raise error
        self.report(error)


def _read(args: argparse.Namespace, skipped: _Skipped) -> "Iterator[Sample]":
    from camml import formats

    return formats.read(
        args.source,
        format=args.format,
        images=args.images,
        on_bad=args.on_bad,
        report=skipped.report,
        mend_ids=args.mend_ids,
    )


@contextmanager
def _bar(args: argparse.Namespace) -> "Iterator[Callable[[int, int], None] | None]":
    """A progress bar on standard error, where somebody watches."""
    if not (args.progress or sys.stderr.isatty()):
        yield None
        return
    from tqdm import tqdm

    with tqdm(unit=" samples", file=sys.stderr, desc="embedding") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def _report(
    args: argparse.Namespace, change: dict[str, int], datastore: "Datastore", skipped: _Skipped, started: float
) -> int:
    """Say what was changed."""
    seconds = round(time.perf_counter() - started, 3)
    counts = dict(datastore.manifest.counts)
    if args.json:
        facts = {"store": str(datastore.path), **change, **counts, "skipped": skipped.errors, "seconds": seconds}
        print_json(facts)
        return 0
    [(verb, count)] = change.items()
    also = f", {len(skipped.errors)} skipped" if skipped.errors else ""
    holds = f"{counts['samples']} samples, {counts['image']} with an image"
    print(f"{verb} {count}{also} in {seconds:.1f} s; {datastore.path} now holds {holds}")
    return 0
