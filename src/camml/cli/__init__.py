"""The command `camml`. A file in this folder is a verb: `SUMMARY`, `add_arguments(parser)` and `run(args) -> int`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from camml import __version__, plugins
from camml.cli._output import never_fail_to_write, replace_closed
from camml.cli._single import Single
from camml.errors import CaMMLError, DiskError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line with the remedy, as all our errors are."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for name in (None, "store"):
            self.register("action", name, Single)

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_BAD_INPUT, f"camml: error: {message} (see `{self.prog} --help`)\n")


def build_parser() -> Parser:
    """Return the parser of all verbs; nothing heavy is imported for it."""
    parser = Parser(prog="camml", description="Answers about images, grounded in samples you index once.")
    parser.add_argument("--version", action="version", version=f"camml {__version__}")
    verbs = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True)
    for name in plugins.names("cli"):
        module: Any = plugins.find("cli", name)
        verb = verbs.add_parser(name.replace("_", "-"), help=module.SUMMARY, description=module.SUMMARY)
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 a check failed, 2 bad input, 130 interrupted."""
    try:
        logging.basicConfig(format="camml: %(message)s", level=logging.WARNING)
        replace_closed()
        never_fail_to_write()
        args = build_parser().parse_args(argv)
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except CaMMLError as error:
        print("camml: error:", str(error).replace("\n", "\\n"), file=sys.stderr)  # a name of a file may hold one
    except BrokenPipeError:  # the reader of a pipe went away (`camml store search ... | head`): not our error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"camml: error: {DiskError(describe(error))}", file=sys.stderr)
    except KeyboardInterrupt:
        print("camml: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_BAD_INPUT


def describe(error: OSError) -> str:
    """Return one line for a failure of the operating system: what, and on which file."""
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}"


if __name__ == "__main__":
    sys.exit(main())
