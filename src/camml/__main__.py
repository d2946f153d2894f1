"""The command `camml`, which is `python -m camml`, too."""

import sys


def main() -> int:
    """Run one command, as `camml.cli.main` does; 130 if it is interrupted while that is imported."""
    try:
        from camml import cli

        return cli.main()
    except KeyboardInterrupt:
        print("camml: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
