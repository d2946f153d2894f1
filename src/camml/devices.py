"""The device that models run on, and the numbers they compute with."""

from typing import TYPE_CHECKING

from camml.errors import OptionError, first_line

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")


def choose_device(name: str | None = None) -> "torch.device":
    """Return the device called `name`; without a name the GPU if there is one.

    Raises:
      OptionError: no device of that name here.
    """
    import torch

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(f"device {name!r} cannot be used here ({first_line(error)}); leave it out") from error
    return device


def choose_dtype(name: str | None, device: "torch.device | None" = None) -> "torch.dtype":
    """Return the number format called `name`; without a name bfloat16, or float32 where `device` is a CPU.

    Raises:
      OptionError: there is none of that name.

    Example:
      >>> choose_dtype("bfloat16")
      torch.bfloat16
    """
    import torch

    if name is None:
        return torch.float32 if device is not None and device.type == "cpu" else torch.bfloat16
    if name not in DTYPES:
        raise OptionError(f"no dtype {name!r}; there are: {', '.join(DTYPES)}")
    chosen: torch.dtype = getattr(torch, name)
    return chosen
