"""`camml convert`: other people's files into ours."""

import argparse
from pathlib import Path

from camml.cli._output import print_json
from camml.errors import OptionError

SUMMARY = "Convert ScienceQA or shards of samples to LLaVA JSON, or an official checkpoint to a model folder."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one sub-command for each kind of file."""
    kinds = parser.add_subparsers(title="what to convert", dest="kind", metavar="KIND", required=True)

    scienceqa = kinds.add_parser("scienceqa", help="ScienceQA to LLaVA JSON, in the official prompt formats")
    add_scienceqa_arguments(scienceqa)
    scienceqa.add_argument("--out", type=Path, help="file to write (default: llava_SPLIT_FORMAT.json in BASE_DIR)")
    scienceqa.add_argument(
        "--overwrite",
        action="store_true",
        help="replace OUT if it is there already; without --out the default file is always replaced",
    )
    scienceqa.add_argument("--json", action="store_true", help="print the result as JSON")
    scienceqa.set_defaults(convert=_scienceqa)

    shards = kinds.add_parser(
        "shards", help="WebDataset or Parquet, also s3://..., to LLaVA JSON and images to train on"
    )
    shards.add_argument(
        "source", metavar="SRC", help="a file, a folder, a pattern (shards/{000..127}.tar) or an address"
    )
    shards.add_argument("out", type=Path, metavar="OUT", help="LLaVA JSON to write")
    shards.add_argument(
        "--images", type=Path, metavar="DIR", help="where images are written (default: OUT's name-images)"
    )
    shards.add_argument("--format", metavar="NAME", help="webdataset or parquet (default: found by the ending)")
    shards.add_argument("--overwrite", action="store_true", help="replace OUT if it is there already")
    shards.add_argument("--json", action="store_true", help="print the result as JSON")
    shards.set_defaults(convert=_shards)

    checkpoint = kinds.add_parser("checkpoint", help="an official CaMML checkpoint to a transformers model folder")
    checkpoint.add_argument("source", type=Path, metavar="SRC", help="folder of the official checkpoint")
    checkpoint.add_argument("target", type=Path, metavar="DST", help="folder to write")
    checkpoint.add_argument("--json", action="store_true", help="print the result as JSON")
    checkpoint.set_defaults(convert=_checkpoint)


def add_scienceqa_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of the official converter, and the layout."""
    parser.add_argument(
        "--base-dir", type=Path, required=True, help="folder with ScienceQA's problems.json and pid_splits.json"
    )
    parser.add_argument(
        "--split", nargs="+", required=True, metavar="SPLIT", help="train, val, minival, test, minitest; one or several"
    )
    parser.add_argument(
        "--prompt-format",
        default="QCM-LEPA",
        help="what is asked and answered: Q question, C context, M options, L lecture, E explanation, A answer, "
        "P a mark before the answer (default: %(default)s)",
    )
    parser.add_argument(
        "--layout",
        default="auto",
        help="labelled, as in the training files; plain, as in the published llava_test_CQM-A.json; "
        "auto: plain for CQM-A alone (default)",
    )


def run(args: argparse.Namespace) -> int:
    """Convert, and say what was written."""
    written: list[dict[str, object]] = args.convert(args)
    if args.json:
        print_json(written if len(written) > 1 else written[0])
        return 0
    for result in written:
        print("wrote " + ", ".join(f"{value}" if key == "path" else f"{value} {key}" for key, value in result.items()))
    return 0


def _scienceqa(args: argparse.Namespace) -> list[dict[str, object]]:
    from camml.data import scienceqa

    out = getattr(args, "out", None)
    if out and len(args.split) > 1:
        raise OptionError(f"--out names one file, and --split {len(args.split)} splits; leave it out, or convert one")
    options = {"layout": args.layout, "out": out, "overwrite": getattr(args, "overwrite", False)}
    written = []
    for split in args.split:
        path, count = scienceqa.convert(args.base_dir, split, args.prompt_format, **options)
        written.append({"path": str(path), "samples": count})
    return written


def _shards(args: argparse.Namespace) -> list[dict[str, object]]:
    from camml.data import shards

    path, count = shards.convert(args.source, args.out, args.images, args.format, overwrite=args.overwrite)
    return [{"path": str(path), "samples": count}]


def _checkpoint(args: argparse.Namespace) -> list[dict[str, object]]:
    from camml.model import loading

    loading.convert(args.source, args.target)
    return [{"path": str(args.target)}]
