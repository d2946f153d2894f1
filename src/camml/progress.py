"""A progress bar on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""Called with how many are done so far, and how many there are in all."""


@contextmanager
def progress_bar(doing: str, unit: str, *, show: bool | None = None) -> Iterator[Progress]:
    """Show a progress bar as long as the block runs; what it yields moves the bar.

    Args:
      doing: the words in front of the bar.
      unit: what is counted, in the plural.
      show: None shows it where standard error is a terminal.

    Example:
      >>> with progress_bar("reading", "samples", show=False) as progress:
      ...     progress(1, 3)
    """
    if not (sys.stderr.isatty() if show is None else show):
        yield lambda done, total: None
        return
    from tqdm import tqdm

    with tqdm(unit=f" {unit}", file=sys.stderr, desc=doing) as bar:

        def move(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield move
