"""Pack a finished LoRA run: what was trained alone, in 16 bits, to be shipped and unpacked by `camml merge`.

python scripts/pack_model.py checkpoints/mini models/camml-mini
"""

import argparse
import json
import sys
from pathlib import Path

from safetensors.torch import load_file

from camml.errors import CaMMLError, ModelFolderError
from camml.model import packed

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


def pack(run: Path, out: Path) -> None:
    """Pack the LoRA run, or a checkpoint of it, in folder `run`."""
    record = next((file for file in (run / "run.json", run.parent / "run.json") if file.is_file()), None)
    if record is None or not (run / "adapter_config.json").is_file():
        raise ModelFolderError(f"{run} is not the folder of a LoRA run (run.json and adapter_config.json)")
    flags = json.loads(record.read_text("utf-8"))["model"]
    adapter = json.loads((run / "adapter_config.json").read_text("utf-8"))
    matrices = load_file(run / "adapter_model.safetensors")
    packed.pack(
        out,
        language_model=flags["model_name_or_path"],
        vision_tower=flags["vision_tower"],
        sizes={ours: flags[theirs] for theirs, ours in SIZES.items()},
        between=load_file(run / "between.safetensors"),
        lora={_name(name): tensor for name, tensor in matrices.items()},
        scale=adapter["lora_alpha"] / adapter["r"],
        prompt_style=flags.get("prompt_style"),
    )


def _name(peft: str) -> str:
    """The name of a matrix in the bare model."""
    return peft.removeprefix("base_model.model.").removesuffix(".weight")


def main() -> int:
    """Pack; exit code 2 where the run cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run, or a checkpoint in it")
    parser.add_argument("out", type=Path, help="folder to write")
    args = parser.parse_args()
    try:
        pack(args.run, args.out)
    except CaMMLError as error:
        print(f"pack_model: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
