"""The actions of `camml store` that only read a datastore: search, info, export."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml.cli._answering import add_ranking, add_where, say_weights_unused, weights_of
from camml.cli._datastore import add_encoder_option, encoder_options
from camml.cli._output import (
    check_unicode,
    conditions,
    given,
    given_path,
    neighbor_as_json,
    neighbor_as_text,
    print_json,
)
from camml.cli._store import Action, add_store
from camml.errors import OptionError, StoreCorruptedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camml.datastore import Datastore, Manifest
    from camml.likeness import Above
    from camml.types import Neighbor, Where

MUCH = 0.2
"""The share of samples that came or went after which a calibration is better made again."""


def add_search_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store search`."""
    add_store(parser, official=True)
    parser.add_argument("--text", default="", metavar="WORDS", help="what to look for, in words")
    parser.add_argument("--image", type=given, metavar="FILE|URL", help="a picture to look for")
    parser.add_argument("-k", type=int, default=4, help="how many samples (default: %(default)s)")
    parser.add_argument("--mode", default="auto", help="auto, text-image, image-image, text-text or fused")
    add_where(parser)
    add_ranking(parser)
    parser.add_argument(
        "--keep-duplicates", action="store_true", help="show samples that say the same as a nearer one, too"
    )
    parser.add_argument(
        "--encoder",
        type=given,
        metavar="NAME",
        help="encoder that built the vectors; needed only if the datastore does not record it",
    )
    add_encoder_option(parser)


def run_search(args: argparse.Namespace) -> int:
    """Print the nearest samples."""
    from camml.datastore import open_store
    from camml.features.reranking import Reranker, nearest
    from camml.images import open_image
    from camml.layouts import local_path
    from camml.retriever import Retriever
    from camml.types import Query

    if not args.text.strip() and not args.image:
        raise OptionError("nothing to search for; give --text, --image or both")
    check_unicode(args.text, "--text")
    where, weights = conditions(args.where), weights_of(args)
    _say_unused(args)
    image = open_image(local_path(args.image)) if args.image else None
    options = encoder_options(args)
    datastore, encoder = open_store(args.store, args.encoder, options or None, args.store_images)
    left_out: dict[str, str] = {}

    def leave_out(duplicate: "Neighbor", nearer: "Neighbor") -> None:
        left_out[duplicate.sample.id] = nearer.sample.id

    above: Above = None if args.keep_duplicates else "measured"
    retriever = Retriever(datastore, encoder, args.mode, above, weights, leave_out)
    reranker = Reranker.load(args.rerank) if args.rerank else None
    [context] = nearest(retriever, reranker, [Query(args.text, image)], args.k, where or None)
    if args.json:
        asked = {"text": args.text, "image": args.image, "mode": args.mode, "k": args.k, "where": where}
        print_json({"query": asked, "neighbors": [neighbor_as_json(neighbor) for neighbor in context]})
    else:
        for neighbor in context:
            print(neighbor_as_text(neighbor))
        if not context:
            print(f"camml: {_why_nothing(datastore, where)}", file=sys.stderr)
    _say_left_out(left_out, {neighbor.sample.id for neighbor in context})
    return 0


def _say_unused(args: argparse.Namespace) -> None:
    """Say on standard error which option the mode does not search by."""
    say_weights_unused(args, args.text)
    source, compared, _ = args.mode.partition("-")
    if not compared:
        return
    if source == "image" and args.text.strip() and not args.rerank:
        print(f"camml: --mode {args.mode} searches by the picture alone: --text changes nothing", file=sys.stderr)
    if source == "text" and args.image:
        print(f"camml: --mode {args.mode} searches by the words alone: --image changes nothing", file=sys.stderr)


def _why_nothing(datastore: "Datastore", where: "Where") -> str:
    """Return the reason why a search gave no sample."""
    if not where:
        return "no samples"
    if (count := datastore.count("text", where)) and not datastore.count("image", where):
        return (
            f"the samples that --where asks for ({count}) have no picture to be found by; search by words: --text, "
            "with --mode auto or text-text"
        )
    return "no sample is what --where asks for"


def _say_left_out(left_out: "Mapping[str, str]", shown: set[str]) -> None:
    """Say on standard error how many samples were left out as near-duplicates of what is shown."""
    count = sum(nearer in shown and name not in shown for name, nearer in left_out.items())
    if count:
        samples = "1 sample" if count == 1 else f"{count} samples"
        print(
            f"camml: left out {samples} with the text and nearly the picture of one that is shown; --keep-duplicates "
            "shows them",
            file=sys.stderr,
        )


def add_info_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store info`."""
    add_store(parser, official=True)
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read every byte again, and the beginnings of pictures elsewhere (published: look for every picture); "
        "code 1 if any is wrong",
    )


def run_info(args: argparse.Namespace) -> int:
    """Describe the datastore."""
    from camml.datastore import missing_pictures, official_pair, open_official, read_manifest, verify

    pair = official_pair(args.store)
    opened = open_official(*pair, images=args.store_images) if pair else None
    manifest = opened.manifest if opened else read_manifest(Path(args.store))
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
    if manifest.location:
        facts["location"] = manifest.location
    for modality, fast in manifest.fast.items():
        inside = min(1.0, fast.count / max(1, manifest.counts[modality]))
        facts[f"index of {modality}"] = {"kind": fast.kind, "holds": round(inside, 4), **fast.settings, **fast.measured}
    if opened is None:
        facts["calibration"] = _calibration(args.store, manifest)
    if args.verify:
        missing = missing_pictures(opened) if opened else []
        lost = [f"the picture {sample.image} of the sample {sample.id!r} is not there" for sample in missing]
        facts["problems"] = lost if opened else verify(Path(args.store))
    if args.json:
        print_json(facts)
    else:
        for name, value in facts.items():
            print(f"{name:10} {_in_words(value) if name == 'calibration' else value}")
    return 1 if facts.get("problems") else 0


def _in_words(calibration: dict[str, Any] | None) -> str:
    """Return a calibration as a person reads it."""
    if calibration is None:
        return "none: every sample is near enough; see `camml store calibrate`"
    said = []
    if "made" in calibration:
        least = ", ".join(f"{name} {score:.3f}" for name, score in calibration["least"].items())
        when = calibration["made"] or "an unknown time"
        said = [f"of {when}, {calibration['samples']} samples; thresholds: {least or 'none'}"]
    return "; ".join([*said, *filter(None, [calibration.get("advice")])])


def _calibration(store: str, manifest: "Manifest") -> dict[str, Any] | None:
    """Return from which scores on samples are near enough, since when, and whether to measure that again; None where
    nobody has measured it."""
    from camml.datastore import read_calibration

    again = f"run `camml store calibrate --store {store}` again"
    try:
        made = read_calibration(Path(store))
    except StoreCorruptedError as error:
        return {"advice": str(error)}
    if made is None:
        return None
    changed = made.changed(manifest)
    facts: dict[str, Any] = {
        "made": made.made,
        "samples": made.samples,
        "false_refusals": made.false_refusals,
        "least": {name: least.score for name, least in made.searches.items()},
        "changed": round(changed, 4),
    }
    if not made.fits(manifest):
        facts["advice"] = f"it is of another encoder ({made.encoder}) and does not count: {again}"
    elif changed > MUCH:
        facts["advice"] = f"{changed:.0%} of its samples came or went since: {again}"
    return facts


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store export`."""
    parser.add_argument("out", type=given_path, metavar="OUT", help="the file to write; its ending says the format")
    add_store(parser)
    parser.add_argument("--vectors", action="store_true", help="with the vectors of pictures and texts")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there already")


def run_export(args: argparse.Namespace) -> int:
    """Write the samples to a folder."""
    from camml.datastore import Datastore, export

    started = time.perf_counter()
    count = export(Datastore.open(args.store), args.out, args.vectors, args.overwrite)
    seconds = time.perf_counter() - started
    if args.json:
        print_json({"path": str(args.out), "samples": count, "seconds": round(seconds, 3)})
    else:
        print(f"{count} samples in {args.out}, {seconds:.1f} s")
    return 0


ACTIONS = (
    Action("search", "show the samples nearest to a text, an image or both", add_search_arguments, run_search),
    Action("info", "what a datastore holds", add_info_arguments, run_info),
    Action(
        "export",
        "write the samples to a table that other programs read: .parquet, .arrow or .csv",
        add_export_arguments,
        run_export,
    ),
)
