"""Sizes that people give: of memory as they write it (1 GB is 10^9 bytes, 1 GiB 2^30), and of batches."""

import math
import re

from camml.errors import OptionError

_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?\s*", re.IGNORECASE)
_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_of(text: str | int | float, name: str = "memory") -> int:
    """Return the bytes of `4GB`, `512 MiB`, `1.5g` or 1000.

    Args:
      name: of the option, for the error.

    Raises:
      OptionError: it is not an amount, or less than a byte.

    Example:
      >>> size_of("4GB"), size_of("512 MiB")
      (4000000000, 536870912)
    """
    match = _AMOUNT.fullmatch(str(text))
    size = float(match[1]) * (1024 if match[3] else 1000) ** " KMGT".index(match[2].upper() or " ") if match else 0.0
    if not 1 <= size < math.inf:
        raise OptionError(f"{name} {str(text)[:40]!r} is not an amount of memory; write it like 4GB or 512MiB")
    return int(size)


def check_batch_size(size: int) -> int:
    """Return the size of a batch.

    Raises:
      OptionError: it is below 1.
    """
    if size < 1:
        raise OptionError(f"the batch size must be at least 1, not {size}")
    return size


def size_in_words(count: float) -> str:
    """Return bytes in the largest unit that leaves a number of at least 1.

    Example:
      >>> size_in_words(18.6e9)
      '18.6 GB'
    """
    power = 0
    while count >= 1000 and power < len(_UNITS) - 1:
        count /= 1000
        power += 1
    return f"{count:.3g} {_UNITS[power]}"
