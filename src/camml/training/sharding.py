"""DeepSpeed configurations by the names that the training commands use, for when there is no such file."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from camml.errors import OptionError

_SHARED = {
    "fp16": {"enabled": "auto"},
    "bf16": {"enabled": "auto"},
    "gradient_clipping": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "train_batch_size": "auto",
    "gradient_accumulation_steps": "auto",
}
_ZERO2 = {"stage": 2, "overlap_comm": True, "contiguous_gradients": True, "reduce_bucket_size": "auto"}
_ZERO3 = {
    "stage": 3,
    "overlap_comm": True,
    "contiguous_gradients": True,
    "reduce_bucket_size": "auto",
    "stage3_prefetch_bucket_size": "auto",
    "stage3_param_persistence_threshold": "auto",
    "stage3_gather_16bit_weights_on_model_save": True,
}
_CPU = {"device": "cpu", "pin_memory": True}
BUILT_IN: dict[str, dict[str, Any]] = {
    "zero2": {**_SHARED, "zero_optimization": _ZERO2},
    "zero3": {**_SHARED, "zero_optimization": _ZERO3},
    "zero3_offload": {**_SHARED, "zero_optimization": {**_ZERO3, "offload_optimizer": _CPU, "offload_param": _CPU}},
}


def deepspeed_config(name: str) -> dict[str, Any]:
    """Return the configuration in the file `name`; where there is none, the one built in under that name.

    Raises:
      OptionError: there is neither, or the file is not JSON.
    """
    path = Path(name)
    if path.is_file():
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise OptionError(f"--deepspeed {name}: is not JSON ({error})") from error
        if not isinstance(settings, dict):
            raise OptionError(f"--deepspeed {name}: is not a JSON object")
        return settings
    if path.stem not in BUILT_IN or path.suffix not in ("", ".json"):
        raise OptionError(f"--deepspeed {name}: no such file; built in are: {', '.join(BUILT_IN)}")
    return deepcopy(BUILT_IN[path.stem])


def stage(config: dict[str, Any] | str | None) -> int:
    """Return the ZeRO stage of a DeepSpeed configuration; 0 without one."""
    return int(config.get("zero_optimization", {}).get("stage", 0)) if isinstance(config, dict) else 0
