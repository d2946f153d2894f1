"""The device that models run on."""

from typing import TYPE_CHECKING

from camml.errors import OptionError, first_line

if TYPE_CHECKING:
    import torch


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
