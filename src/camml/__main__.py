"""The command `camml`, which is `python -m camml`, too."""

import os
import sys
from contextlib import suppress


def main() -> int:
    """Run one command, as `camml.cli.main` does; 130 if it is interrupted while that is imported."""
    try:
        from camml import cli

        code = cli.main()
    except KeyboardInterrupt:
        print("camml: interrupted", file=sys.stderr)
        code = 130
    end_while_loading(code)
    return code


def end_while_loading(code: int) -> None:
    """End the process if it is still loading a model that is not needed any more; Python itself would wait for that.

    So it is after Ctrl-C, an error, or a question that is refused before any model is asked.
    """
    ahead = sys.modules.get("camml.assistant.ahead")
    if ahead is not None and ahead.is_busy():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # closed already
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
