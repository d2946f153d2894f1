"""`camml train`: from a recipe and flags to a model folder; the flags of the published training commands work."""

import argparse
import logging

SUMMARY = "Train a CaMML model: camml train [CONFIG.yaml] [--flag value ...]."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take all flags as they come: they belong to the settings of training, which are too heavy to import here."""
    parser.prefix_chars = "\0"
    parser.add_argument("arguments", nargs="*", metavar="CONFIG.yaml --flag value")


def run(args: argparse.Namespace) -> int:
    """Train, or with `--check` and `--dry_run` only check and estimate."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it misses a package that only 4-bit models ask for
    try:
        from camml.training import recipes
    except ImportError as error:
        from camml.errors import InputError

        raise InputError(f"training needs more packages ({error.name}): pip install 'camml[train]'") from error
    if not args.arguments or set(args.arguments) & {"-h", "--help"}:
        print(recipes.describe())
        return 0
    settings = recipes.parse(args.arguments)
    if settings.run.check:
        from camml.training import preflight

        print(preflight.report(settings))
        return 0
    if settings.run.dry_run:
        from camml.training import dry_run

        print(dry_run.report(settings))
        return 0
    from camml.training.train import train

    folder = train(settings)
    print(f"wrote {settings.run.remote or folder}")
    return 0
