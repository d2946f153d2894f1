"""Options that name one input: a second one is refused, where only the last would count."""

import argparse
from collections.abc import Sequence
from typing import Any

INPUTS = frozenset({"DIR", "FILE", "FILE|URL", "URL", "WORDS"})
"""The metavars of options that name what a command reads, asks or writes.

Other options, and --model, may be given again, so that a command in an alias or a script can be adjusted: the last one
counts.
"""
SEVERAL = {"--store": "`camml serve` takes several"}
"""Advice for options of which another command takes several values."""


class Single(argparse._StoreAction):
    """Stores the value of an option, and refuses another one for an input."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Store a value.

        Raises:
          argparse.ArgumentError: it is that of an input which has another one already.
        """
        before = getattr(namespace, self.dest, self.default)
        is_input = self.option_strings and self.metavar in INPUTS and self.dest != "model"
        if is_input and before is not self.default and before != values:
            advice = SEVERAL.get(self.option_strings[0], "leave one out")
            both = f"{str(before)!r} and then {str(values)!r}"
            raise argparse.ArgumentError(self, f"takes one value, but is given {both}; {advice}")
        super().__call__(parser, namespace, values, option_string)
