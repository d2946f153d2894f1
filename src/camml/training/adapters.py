"""A LoRA run to an ordinary model folder."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from camml.errors import ModelFolderError, OptionError
from camml.model import CamMLProcessor
from camml.model.folder import new_folder, read_file
from camml.training import building
from camml.training.arguments import ModelArguments, RunArguments
from camml.training.reports import RUN

BETWEEN = "between.safetensors"
"""Projector and perceivers of a LoRA run; they are trained whole."""

DTYPES = ("auto", "float32", "bfloat16", "float16")


def merge(adapter: Path, target: Path, dtype: str = "auto") -> None:
    """Write the model of the LoRA run in folder `adapter` as the ordinary model folder `target`.

    The sums are made in float32, of the weights as they were before any quantisation.

    Args:
      dtype: of the written weights; "auto" is that of the language model the run started from.

    Raises:
      ModelFolderError: `adapter` is no such folder, what it started from is gone, or `target` is there already.
      OptionError: no such dtype.
    """
    if dtype not in DTYPES:
        raise OptionError(f"no dtype {dtype!r}; there are: {', '.join(DTYPES)}")
    model = load(adapter).merge_and_unload()
    number = model.config.text_config.dtype or torch.float32 if dtype == "auto" else getattr(torch, dtype)
    processor = CamMLProcessor.from_pretrained(adapter)
    with new_folder(target) as unfinished:
        model.to(number).save_pretrained(unfinished)
        processor.save_pretrained(unfinished)


def load(adapter: Path) -> PreTrainedModel:
    """The model of a LoRA run in float32, its matrices still apart.

    Raises:
      ModelFolderError: as `merge`.
    """
    from peft import PeftModel

    record = next((file for file in (adapter / RUN, adapter.parent / RUN) if file.is_file()), None)
    if not (adapter / "adapter_config.json").is_file() or record is None:
        raise ModelFolderError(f"{adapter} is not the folder of a LoRA run (adapter_config.json and {RUN})")
    values = json.loads(record.read_bytes())["model"]
    known = {field.name for field in fields(ModelArguments)}
    arguments = ModelArguments(**{name: value for name, value in values.items() if name in known})
    arguments.tune, arguments.bits = "lora", 16
    model, _ = building.build(arguments, dtype=torch.float32)
    found: PreTrainedModel = PeftModel.from_pretrained(model, adapter)
    load_between(found, adapter)
    return found.eval()


def is_adapter(model: nn.Module) -> bool:
    """Whether `model` is wrapped by PEFT; without importing it."""
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


def save_between(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Write projector and perceivers, out of all tensors of a model, beside an adapter."""
    names = building.between(tensors)
    save_file({ours: tensors[theirs].detach().cpu().contiguous() for ours, theirs in names.items()}, folder / BETWEEN)


def load_between(model: nn.Module, folder: Path) -> None:
    """Put projector and perceivers, as `save_between` wrote them, into a wrapped model.

    Raises:
      ModelFolderError: they are not all there.
    """
    saved = dict(read_file(folder / BETWEEN))
    names = building.between(name for name, _ in model.named_parameters())
    if saved.keys() != names.keys():
        raise ModelFolderError(f"{folder / BETWEEN} does not fit the model the run started from")
    model.load_state_dict({names[ours]: tensor for ours, tensor in saved.items()}, strict=False)
