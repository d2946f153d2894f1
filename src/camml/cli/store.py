"""`camml store`: build, change, search and describe a datastore. A file `_store_NAME.py` beside this one is an action.

Each has `SUMMARY`, `add_arguments(parser)` and `run(args) -> int`, as a verb has.
"""

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

SUMMARY = "Build, change, search and describe a datastore."
FIRST = ("build", "add", "remove", "search", "info")
"""The actions that the help lists first; the others follow by name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    for name in action_names():
        module: Any = import_module(f"camml.cli._store_{name}")
        action = actions.add_parser(name, help=module.SUMMARY, description=module.SUMMARY.capitalize() + ".")
        action.add_argument("--json", action="store_true", help="print one JSON document")
        action.set_defaults(act=module.run)
        module.add_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Do the action asked for."""
    code: int = args.act(args)
    return code


def action_names() -> list[str]:
    """Return the actions there are, found by their files."""
    verbs = {path.stem.removeprefix("_store_") for path in Path(__file__).parent.glob("_store_*.py")}
    return [*(name for name in FIRST if name in verbs), *sorted(verbs - set(FIRST))]
