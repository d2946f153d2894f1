"""Amounts of memory as people write them."""

import math
import re

from camml.errors import OptionError

UNITS = ("B", "KB", "MB", "GB", "TB")
"""Powers of 1024."""


def size_of(text: str, flag: str) -> int:
    """Return the bytes of `1GB`, `512 MB`, `1.5g` or `1000`.

    Raises:
      OptionError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    size = float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ") if match else 0.0
    if not 1 <= size < math.inf:
        raise OptionError(f"{flag} {text!r} is no amount of memory; write it like 512MB or 1.5GB")
    return int(size)


def size_in_words(count: float) -> str:
    """Return bytes in the largest unit that leaves a number of at least 1."""
    power = 0
    while count >= 1024 and power < len(UNITS) - 1:
        count /= 1024
        power += 1
    return f"{count:.0f} B" if power == 0 else f"{count:.3g} {UNITS[power]}"
