"""Pack a finished LoRA run: what was trained alone, in 16 bits, to be shipped and unpacked by `camml merge`.

python scripts/pack_model.py checkpoints/mini models/camml-mini --keep 0.5

`--keep` packs projector and perceivers on the straight line from what they were before training (0) to what they are
(1), which often does better on what training did not show than either end. Source: Wortsman et al. 2022, "Robust
fine-tuning of zero-shot models". `--retrieval` names a model whose retrieval settings the packed one is to have, with
the files that these name, such as the maps of its encoder; without it those that the run's folder has, if any.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import set_seed

from camml import weights
from camml.errors import CaMMLError, ModelFolderError, OptionError
from camml.model import CamMLConfig, lora, packed
from camml.model.folder import ADDED_FILE
from camml.training import building
from camml.training.arguments import ModelArguments

PARTS = (
    "image_size", "image_pooling", "vision_feature_layer", "vision_feature_select", "projector_type",
)  # fmt: skip
PERCEIVERS = (
    "perceiver_hidden_size", "perceiver_queries", "perceiver_layers", "perceiver_heads", "perceiver_intermediate_size",
    "perceiver_dropout", "perceiver_positions", "perceiver_run_on", "perceiver_seamless", "grounded",
    "sample_max_length",
)  # fmt: skip
"""Fields of the model's configuration that are packed, those of a model of parts and those of CaMML."""


def pack(run: Path, out: Path, keep: float = 1.0, retrieval: Path | None = None) -> None:
    """Pack the LoRA run, or a checkpoint of it, in folder `run`.

    Args:
      keep: how far from their start to their end projector and perceivers are packed.
      retrieval: a model folder whose retrieval settings are taken along; by default `run`.
    """
    if not 0 <= keep <= 1:
        raise OptionError(f"--keep is {keep:g}; give a part of the way, 0 to 1")
    record = next((file for file in (run / "run.json", run.parent / "run.json") if file.is_file()), None)
    if record is None or not lora.is_run(run):
        raise ModelFolderError(f"{run} is not the folder of a LoRA run (run.json, {lora.ADAPTER} and {lora.BASE})")
    told = json.loads(record.read_text("utf-8"))
    about = json.loads((run / lora.BASE).read_text("utf-8"))
    base, config = about["base"], CamMLConfig(**about["config"])
    if "language_model" not in base:
        raise OptionError(
            f"{run} started from {next(iter(base.values()))}; only a run that started from a language model and a "
            f"vision tower is packed: `camml merge {run} OUT` makes a model folder of it"
        )
    flags = ModelArguments(**told["model"])  # a run that knew fewer flags than there are now had their defaults
    adapter = json.loads((run / lora.ADAPTER).read_text("utf-8"))
    added = load_file(run / ADDED_FILE)
    if keep < 1:
        dtype = torch.bfloat16 if told["settings"].get("bf16") else torch.float32
        start = _start(flags, told["seed"], dtype)
        added = {name: torch.lerp(start[name].float(), tensor.float(), keep) for name, tensor in added.items()}
    packed.pack(
        out,
        language_model=base["language_model"],
        vision_tower=base["vision_tower"],
        sizes={name: getattr(config.vlm_config, name) for name in PARTS}
        | {name: getattr(config, name) for name in PERCEIVERS},
        added={_name(name): tensor for name, tensor in added.items()},
        lora=_matrices(run, added),
        scale=adapter["lora_alpha"] / adapter["r"],
        prompt_style=flags.prompt_style,
        image_aspect_ratio=flags.image_aspect_ratio,
        thinking=flags.thinking,
        retrieval_of=retrieval or run,
    )


def _start(flags: ModelArguments, seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the weights before training: built again from the same flags and seed."""
    set_seed(seed)
    return building.build(flags, dtype=dtype)[0].state_dict()


def _matrices(run: Path, added: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the LoRA matrices of a run, and the biases that it trained, less those that are among `added` anyway."""
    trained: dict[str, Tensor] = load_file(run / "adapter_model.safetensors")
    names = {name: name.removeprefix("base_model.model.") for name in trained}
    return {_name(names[name]): tensor for name, tensor in trained.items() if names[name] not in added}


def _name(name: str) -> str:
    """Return the name of a tensor in a packed folder, which leaves out what wraps the model."""
    inner = name.removeprefix("vlm.").replace(".base_layer.", ".")
    return inner.removesuffix(".weight" if "lora_" in name else "")


def main() -> int:
    """Pack; exit code 2 where the run cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run, or a checkpoint in it")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument(
        "--keep", type=float, default=1.0, help="part of what projector and perceivers learned (%(default)s)"
    )
    parser.add_argument(
        "--retrieval", metavar="MODEL", help="folder or name of a model whose retrieval settings are taken along"
    )
    args = parser.parse_args()
    try:
        retrieval = weights.folder(args.retrieval) if args.retrieval else None
        pack(args.run, args.out, args.keep, retrieval)
    except CaMMLError as error:
        print(f"pack_model: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
