"""The memory that keys and values of answers may take."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from camml.sizes import size_of

SHARE = 0.5
"""Of the memory that is free when the server starts; the rest is for activations, pictures and datastores."""


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
