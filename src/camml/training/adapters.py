"""LoRA runs while they train, and their way to an ordinary model folder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from camml import weights
from camml.devices import DTYPES, choose_dtype
from camml.model import CamMLProcessor, lora
from camml.model.folder import new_folder, read_config
from camml.training.arguments import RunArguments


def merge(adapter: Path, target: Path, dtype: str = "auto") -> None:
    """Write the model of the LoRA run in folder `adapter` as the ordinary model folder `target`.

    The sums are made in float32, of the weights as they were before any quantisation.

    Args:
      dtype: of the written weights; "auto" is that of the language model the run started from.

    Raises:
      ModelFolderError: `adapter` is no such folder, what it started from is gone, or `target` is there already.
      OptionError: no such dtype.
    """
    wanted = None if dtype == "auto" else choose_dtype(dtype)
    with new_folder(target) as unfinished:
        model = lora.apart(adapter).merge_and_unload()
        model.to(wanted or choose_dtype(_dtype_before(adapter))).save_pretrained(unfinished)
        CamMLProcessor.from_pretrained(adapter).save_pretrained(unfinished)


def _dtype_before(adapter: Path) -> str:
    """Return the dtype in which the language model is kept that a run started from."""
    base = json.loads((adapter / lora.BASE).read_text("utf-8"))["base"]
    config = read_config(weights.folder(next(iter(base.values()))))
    for part in (config.get("text_config") or {}, config):
        name = str(part.get("dtype") or part.get("torch_dtype"))
        if name in DTYPES:
            return name
    return "float32"


def is_adapter(model: nn.Module) -> bool:
    """Return whether `model` is wrapped by PEFT; without importing it."""
    return any(kind.__name__ == "PeftModel" for kind in type(model).__mro__)


@contextmanager
def without_casts(model: nn.Module, run: RunArguments) -> Iterator[None]:
    """Let LoRA matrices take their inputs as they come where autocast would undo a cast at once.

    PEFT brings inputs to the precision of the matrices, float32, and autocast back to 16 bits: two passes over memory
    for each matrix in each direction, for the same numbers. Copies fell from 16 to 10 % of a profiled step on a CPU.
    """
    cast_back = (run.bf16 or run.fp16) and not run.deepspeed
    if not is_adapter(model) or not cast_back:
        yield
        return
    from peft.helpers import disable_input_dtype_casting

    with disable_input_dtype_casting(model):
        yield
