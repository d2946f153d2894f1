"""`camml store info`: what a datastore holds."""

import argparse
from pathlib import Path
from typing import Any

from camml.cli._output import print_json
from camml.cli._store import add_store

SUMMARY = "what a datastore holds"


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
    if args.verify:
        missing = missing_pictures(opened) if opened else []
        lost = [f"the picture {sample.image} of the sample {sample.id!r} is not there" for sample in missing]
        facts["problems"] = lost if opened else verify(Path(args.store))
    if args.json:
        print_json(facts)
    else:
        for name, value in facts.items():
            print(f"{name:10} {value}")
    return 1 if facts.get("problems") else 0
