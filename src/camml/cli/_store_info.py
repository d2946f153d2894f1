"""`camml store info`: what a datastore holds."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml.cli._output import print_json
from camml.cli._store import add_store
from camml.errors import StoreCorruptedError

if TYPE_CHECKING:
    from camml.datastore import Manifest

SUMMARY = "what a datastore holds"

MUCH = 0.2
"""The share of samples that came or went after which a calibration is better made again."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_store(parser, official=True)
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read every byte again (published: look for every picture); code 1 if any is wrong",
    )


def run(args: argparse.Namespace) -> int:
    """Describe it."""
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
        said = [f"of {when}, {calibration['samples']} samples; least score: {least or 'of no search'}"]
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
