"""`camml align`: a shared space for the texts and images of the encoder `mini`, from a datastore it made."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml.cli._output import print_json
from camml.progress import progress_bar

if TYPE_CHECKING:
    from camml.encoders import Vectors
    from camml.types import Sample

SUMMARY = "Learn two linear maps with which texts find images, from a datastore of the encoder mini."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("store", type=Path, metavar="STORE", help="a datastore made by `--encoder mini`")
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write, .safetensors")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there already")
    parser.add_argument(
        "--group", default="id", metavar="KEY", help="metadata that samples about one thing share (default: none do)"
    )
    parser.add_argument("--dim", type=int, default=384, metavar="D", help="width of the shared space (%(default)s)")
    parser.add_argument(
        "--changed", type=int, default=0, metavar="N",
        help="learn from N more copies of each picture too, turned, cut off, on other grounds (default: none)",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=1500, metavar="N", help="steps of learning (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of batches (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Learn and write the maps."""
    from camml.datastore import Datastore, check_file
    from camml.errors import OptionError
    from camml.training import alignment

    for name, value, least in (("--dim", args.dim, 1), ("--steps", args.steps, 1), ("--changed", args.changed, 0)):
        if value < least:
            raise OptionError(f"{name} is {value}; give {least} or more")
    if args.out.suffix != ".safetensors":
        raise OptionError(f"{args.out} does not end in .safetensors; give a name that does")
    check_file(args.out, args.overwrite)
    datastore = Datastore.open(args.store)
    record = datastore.manifest.encoder
    if record.name != "mini" or record.joint:
        raise OptionError(
            f"{args.store} was made by the encoder {record.name!r}; give one of `--encoder mini` without heads"
        )
    groups = {sample.id: _group(sample.id, sample.meta, args.group) for sample in datastore}
    images, texts = (datastore.vectors(list(groups), modality) for modality in ("image", "text"))
    ids = [name for name in groups if name in images and name in texts]
    copies = _changed(args, [datastore[name] for name in ids]) if args.changed and ids else []
    alignment.save(
        alignment.align(
            alignment.matrix([images[name] for name in ids]),
            alignment.matrix([texts[name] for name in ids]),
            [groups[name] for name in ids],
            copies=copies,
            dim=args.dim,
            steps=args.steps,
            seed=args.seed,
        ),
        args.out,
    )
    shutil.rmtree(_cache(args.out), ignore_errors=True)
    about = {"path": str(args.out), "samples": len(ids), "groups": len({groups[name] for name in ids})}
    if args.json:
        print_json(about)
    else:
        print(f"wrote {args.out}, learned from {about['samples']} samples about {about['groups']} things")
    return 0


def _changed(args: argparse.Namespace, samples: "Sequence[Sample]") -> "list[Vectors]":
    """Return the vectors of changed copies of the samples' pictures, by the encoder that made the datastore."""
    from camml.datastore import open_store
    from camml.training.augmentation import embed_changed

    _, encoder = open_store(str(args.store))
    pictures = {sample.id: sample.image for sample in samples if sample.image is not None}
    with progress_bar("embedding changed pictures", "pictures") as progress:
        return embed_changed(encoder, pictures, args.changed, seed=args.seed, cache=_cache(args.out), progress=progress)


def _cache(out: Path) -> Path:
    """Return the folder with the vectors of a run that was stopped."""
    return out.with_name(f".{out.name}.changed")


def _group(name: str, meta: Any, key: str) -> str:
    """Return what a sample is about: the metadata under `key`, where a dot goes a level down; its id for the key `id`.

    Raises:
      OptionError: it has no such metadata.
    """
    from camml.errors import OptionError

    if key == "id":
        return name
    value = meta
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise OptionError(f"sample {name!r} has no {key!r} in its metadata; it has: {', '.join(meta) or 'none'}")
        value = value[part]
    return str(value)
