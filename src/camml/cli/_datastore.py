"""Options of the verbs that open a datastore: settings of its encoder, and where its pictures are."""

import argparse
import os
from pathlib import Path
from typing import Any

from camml.cli._output import given, json_value, key_values


def add_encoder_option(parser: argparse.ArgumentParser) -> None:
    """Declare the settings of an encoder."""
    parser.add_argument(
        "--encoder-option", action="append", default=[], metavar="KEY=VALUE",
        help="a setting of the encoder; repeatable",
    )  # fmt: skip


def add_store_images(parser: argparse.ArgumentParser) -> None:
    """Declare where the datastore's pictures are."""
    parser.add_argument(
        "--store-images",
        type=given,
        metavar="DIR",
        help="where the datastore's pictures are, if not where it says; `none`: use a published pair without them",
    )


def encoder_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings given; paths that are there in full, since a datastore is used from other folders too."""
    given = key_values(args.encoder_option, "--encoder-option").items()
    return {key: os.path.abspath(text) if _names_a_path(text) else json_value(text) for key, text in given}


def _names_a_path(text: str) -> bool:
    """Return whether a setting is a path that is there, and not a word that a file happens to be called."""
    return bool(Path(text).suffix or Path(text).name != text) and Path(text).exists()
