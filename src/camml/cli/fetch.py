"""`camml fetch`: get pretrained weights ahead, so that nothing is downloaded later."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from camml.cli._output import print_json
from camml.errors import ModelFolderError

SUMMARY = "Fetch pretrained weights; without a name those of the small default model."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="a source from --list, or OWNER/NAME on the model hub")
    parser.add_argument(
        "--list", action="store_true", help="list the sources and what is fetched already; fetch nothing"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Fetch, or list; 0 when done."""
    from camml import weights

    if args.list:
        report([describe(name) for name in weights.names()], args.json)
        return 0
    rows: list[dict[str, Any]] = []
    for name in args.names or weights.DEFAULTS:
        start = time.perf_counter()
        if sys.stderr.isatty():
            print(f"fetching {name} ...", file=sys.stderr)
        folder = weights.folder(name)
        known = any((folder / file).is_file() for file in ("config.json", weights.ORIGIN))
        if Path(name).expanduser().is_dir() and not known:
            raise ModelFolderError(
                f"{name} is a folder on this machine that holds no model (no config.json); give a name of "
                "`camml fetch --list`, or OWNER/NAME on the model hub"
            )
        seconds = round(time.perf_counter() - start, 1)
        source, precision = weights.described(folder)
        rows.append({"name": name, "folder": str(folder), "seconds": seconds, "source": source, "precision": precision})
    report(rows, args.json)
    return 0


def describe(name: str) -> dict[str, Any]:
    """Return one source: what it is, whether it is here, and from where it came."""
    from camml import weights

    module, place = weights.source(name), weights.place(name)
    origin = place / weights.ORIGIN
    source, precision = weights.described(place) if origin.exists() else (None, None)
    return {
        "name": name,
        "hub": module.HUB,
        "license": module.LICENSE,
        "megabytes": module.MEGABYTES,
        "default": name in weights.DEFAULTS,
        "folder": str(place) if place.is_dir() else None,
        "origin": json.loads(origin.read_text()) if origin.exists() else None,
        "source": source,
        "precision": precision,
        "precisions": dict(module.PRECISION),
    }


def _kind(row: dict[str, Any]) -> str:
    """Return where weights came from, with their precision where it is known."""
    return (
        f"{row['source'] or 'a folder'} ({row['precision']})" if row["precision"] else str(row["source"] or "a folder")
    )


def _ways(precisions: dict[str, str]) -> str:
    """Return the precision that each way would give."""
    return f"hub {precisions['hub']}, without the hub {precisions['wheel']}"


def report(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print `rows` as JSON or for a person."""
    if as_json:
        print_json(rows)
        return
    for row in rows:
        if "seconds" in row:
            print(f"{row['name']}: {row['folder']} ({row['seconds']} s), from {_kind(row)}")
        else:
            star, here = "*" if row["default"] else " ", "not fetched: " + _ways(row["precisions"])
            if row["folder"]:
                here = f"{row['folder']} from {_kind(row)}"
            print(f"{star} {row['name']:22} {row['megabytes']:4} MB  {row['license']:10}  {row['hub']:42} {here}")
