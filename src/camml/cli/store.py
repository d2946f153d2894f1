"""`camml store`: build, change, search and describe a datastore. Files `_store_*.py` hold the actions."""

import argparse

from camml.cli import _store_change, _store_read, _store_size, _store_upkeep
from camml.cli._output import sentence

SUMMARY = "Build, change, search and describe a datastore."
FIRST = ("build", "add", "remove", "search", "info")
"""The actions that the help lists first; the others follow by name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    known = {
        action.name: action
        for module in (_store_change, _store_read, _store_size, _store_upkeep)
        for action in module.ACTIONS
    }
    for name in (*FIRST, *sorted(known.keys() - set(FIRST))):
        summary = known[name].summary
        action = actions.add_parser(name, help=summary, description=sentence(summary))
        action.add_argument("--json", action="store_true", help="print one JSON document")
        action.set_defaults(act=known[name].run)
        known[name].add_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Run the action of the command line."""
    code: int = args.act(args)
    return code
