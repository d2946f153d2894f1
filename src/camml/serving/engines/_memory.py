"""The memory that keys and values of answers may take."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from camml.errors import OptionError

SHARE = 0.5
"""Of the memory that is free when the server starts; the rest is for activations, pictures and datastores."""

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?\s*", re.IGNORECASE)
_POWER = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def size_of(text: str | int | float) -> int:
    """Return the bytes that a person means: `4GB`, `512 MiB`, or a number of bytes.

    Raises:
      OptionError: it is no size, or none at all.
    """
    match = _SIZE.fullmatch(str(text))
    size = float(match[1]) * (1024 if match[3] else 1000) ** _POWER[match[2].upper()] if match else 0.0
    if size < 1:
        raise OptionError(
            f"{str(text)[:40]!r} is not a size of memory; give a number with a unit, such as 4GB or 512MiB"
        )
    return int(size)


def readable(size: float) -> str:
    """Return a number of bytes as people write it."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def free(device: torch.device) -> int:
    """Return the bytes that are free for tensors on a device, as far as the system says so."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    limits = [_available()]
    most, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    with suppress(OSError, ValueError):  # no container, or one without a limit
        limits.append(int(most.read_text()) - int(used.read_text()))
    return max(0, min(limits))


def _available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):  # another system: what it has at all
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def budget(memory: str | int | None, device: torch.device) -> int:
    """Return the bytes that keys and values may take: what a person says, or half of what is free now."""
    return int(SHARE * free(device)) if memory is None else size_of(memory)


def bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    """Return about how much the keys and values of one token take; 0 for a model of an unusual kind."""
    text = config.get_text_config()
    try:
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        return int(2 * text.num_hidden_layers * heads * width * dtype.itemsize)
    except (AttributeError, TypeError):  # one without heads, or with other heads in each layer
        return 0
