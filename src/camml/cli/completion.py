"""`camml completion`: what a shell needs to complete commands and options."""

import argparse

from camml.errors import InputError

SUMMARY = "Print a script with which a shell completes camml's commands and options."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell; see docs/asking.md")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from camml.cli import build_parser

    try:
        import shtab
    except ModuleNotFoundError:
        raise InputError("`camml completion` needs the package shtab: pip install 'camml[completion]'") from None
    print(shtab.complete(build_parser(), args.shell))
    return 0
