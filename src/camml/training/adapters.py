"""LoRA runs while they train."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from camml.training.arguments import RunArguments


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
