"""The option that says where a datastore's pictures are, in every verb that opens one."""

import argparse


def add_store_images(parser: argparse.ArgumentParser) -> None:
    """Declare it."""
    parser.add_argument(
        "--store-images",
        metavar="DIR",
        help="where the datastore's pictures are, if not where it says; `none`: use a published pair without them",
    )
