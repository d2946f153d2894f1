"""Pack a finished LoRA run: what was trained alone, in 16 bits, to be shipped and unpacked by `camml merge`.

python scripts/pack_model.py checkpoints/mini models/camml-mini --keep 0.5

`--keep` packs projector and perceivers on the straight line from what they were before training (0) to what they are
(1), which often does better on what training did not show than either end. Source: Wortsman et al. 2022, "Robust
fine-tuning of zero-shot models".
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import set_seed

from camml.errors import CaMMLError, ModelFolderError, OptionError
from camml.model import packed
from camml.training import building
from camml.training.arguments import ModelArguments

SIZES = {
    "image_size": "image_size",
    "image_pooling": "image_pooling",
    "mm_vision_select_layer": "vision_feature_layer",
    "mm_vision_select_feature": "vision_feature_select",
    "mm_projector_type": "projector_type",
    "perceiver_hidden_size": "perceiver_hidden_size",
    "perceiver_querys": "perceiver_queries",
    "perceiver_layers": "perceiver_layers",
    "perceiver_heads": "perceiver_heads",
    "perceiver_intermediate_size": "perceiver_intermediate_size",
    "perceiver_dropout": "perceiver_dropout",
    "perceiver_positions": "perceiver_positions",
    "perceiver_run_on": "perceiver_run_on",
    "sample_max_length": "sample_max_length",
}
"""Flags of training, and the fields of the model's configuration they set."""


def pack(run: Path, out: Path, keep: float = 1.0) -> None:
    """Pack the LoRA run, or a checkpoint of it, in folder `run`.

    Args:
      keep: how far from their start to their end projector and perceivers are packed.
    """
    if not 0 <= keep <= 1:
        raise OptionError(f"--keep is {keep:g}; give a part of the way, 0 to 1")
    record = next((file for file in (run / "run.json", run.parent / "run.json") if file.is_file()), None)
    if record is None or not (run / "adapter_config.json").is_file():
        raise ModelFolderError(f"{run} is not the folder of a LoRA run (run.json and adapter_config.json)")
    told = json.loads(record.read_text("utf-8"))
    flags = ModelArguments(**told["model"])  # a run that knew fewer flags than there are now had their defaults
    adapter = json.loads((run / "adapter_config.json").read_text("utf-8"))
    matrices = load_file(run / "adapter_model.safetensors")
    between = load_file(run / "between.safetensors")
    if keep < 1:
        dtype = torch.bfloat16 if told["settings"].get("bf16") else torch.float32
        start = _start(flags, told["seed"], dtype)
        between = {name: torch.lerp(start[name], tensor.float(), keep) for name, tensor in between.items()}
    packed.pack(
        out,
        language_model=flags.model_name_or_path,
        vision_tower=str(flags.vision_tower),
        sizes={ours: getattr(flags, theirs) for theirs, ours in SIZES.items()},
        between=between,
        lora={_name(name): tensor for name, tensor in matrices.items()},
        scale=adapter["lora_alpha"] / adapter["r"],
        prompt_style=flags.prompt_style,
    )


def _start(flags: ModelArguments, seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """What was between the parts before training: built again from the same flags and seed."""
    set_seed(seed)
    model, _ = building.build(flags, dtype=dtype)
    return {name: tensor.float() for name, tensor in model.state_dict().items() if name.startswith(building.BETWEEN)}


def _name(peft: str) -> str:
    """The name of a matrix in the bare model."""
    return peft.removeprefix("base_model.model.").removesuffix(".weight")


def main() -> int:
    """Pack; exit code 2 where the run cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run, or a checkpoint in it")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument(
        "--keep", type=float, default=1.0, help="part of what projector and perceivers learned (%(default)s)"
    )
    args = parser.parse_args()
    try:
        pack(args.run, args.out, args.keep)
    except CaMMLError as error:
        print(f"pack_model: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
