"""The abilities of this machine, asked before anything else is."""

import os
import platform
from pathlib import Path

import torch

from camml.errors import OptionError

HALF_PRECISION = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""What Linux calls the instructions for bfloat16 of processors by Intel, AMD and ARM."""


def has_accelerator() -> bool:
    """Return True where there is a GPU or the like."""
    return bool(torch.accelerator.is_available())


def has_fast_bfloat16() -> bool:
    """Return True where the processor multiplies bfloat16 itself; elsewhere it is emulated, and slower than float32."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system; Apple's processors have it from the M2 on, which cannot be asked for
        return platform.system() == "Linux" and bool(torch.cpu._is_avx512_bf16_supported())
    lines = (line for line in text.splitlines() if line.startswith(("flags", "Features")))
    return bool(set(next(lines, "").split()) & set(HALF_PRECISION))


def check_precision(fp16: bool, use_cpu: bool = False) -> None:
    """Raise if a run could not compute in the precision that is asked for.

    Raises:
      OptionError: float16 without a GPU; the message has what works here.
    """
    if fp16 and (use_cpu or not has_accelerator()):
        instead = "--fp16 False --bf16 True" if has_fast_bfloat16() else "--fp16 False"
        why = "--use_cpu leaves the GPU out" if use_cpu else "there is none here"
        raise OptionError(f"--fp16 needs a GPU, and {why}; add {instead}")


def check_devices() -> str:
    """Return what a run has here, in words; `$GPUS_PER_NODE` says how many GPUs it wants.

    Raises:
      OptionError: there are fewer GPUs than that, or it is no number.
    """
    text = os.environ.get("GPUS_PER_NODE", "1")
    if not text.isdigit() or int(text) < 1:
        raise OptionError(f"GPUS_PER_NODE is {text!r}; it is the number of GPUs of this machine, 1 or more")
    gpus = int(text)
    if not has_accelerator():
        bfloat16 = "with" if has_fast_bfloat16() else "without"
        return f"no GPU: {gpus} process{'es' * (gpus > 1)} on a processor {bfloat16} bfloat16 of its own"
    there = torch.accelerator.device_count()
    if there < gpus:
        raise OptionError(
            f"GPUS_PER_NODE is {gpus}, and this machine has {there} GPU{'s' * (there > 1)}: set GPUS_PER_NODE={there}"
        )
    kind = torch.cuda.get_device_name() if torch.cuda.is_available() else str(torch.accelerator.current_accelerator())
    memory = f", {torch.cuda.mem_get_info()[1] / 2**30:.0f} GB each" if torch.cuda.is_available() else ""
    return f"{gpus} of {there} GPUs ({kind}{memory})"
