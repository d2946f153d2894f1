"""The files and folders among the settings of a run."""

import os
from pathlib import Path

from camml.errors import OptionError

PATHS = (
    "model_name_or_path", "vision_tower", "pretrain_mm_mlp_adapter", "pretrain_perceivers", "pretrain_lora",
    "data_path", "image_folder", "neighbors", "store", "store_images", "feature_cache", "eval_data", "eval_neighbors",
    "eval_image_folder", "distill", "distill_cache", "output_dir", "resume_from_checkpoint", "deepspeed",
)  # fmt: skip
"""Settings that are paths, or may be."""


def expand(settings: object) -> None:
    """Replace `~` at the beginning of paths, as a shell does, but neither in a recipe nor behind `=`.

    Args:
      settings: some or all of the settings, as attributes.
    """
    for name in PATHS:
        path = getattr(settings, name, None)
        if isinstance(path, str):
            setattr(settings, name, os.path.expanduser(path))


def check_output(output: str) -> None:
    """Raise if a file is where the folder of a run is to be, or one of those above it.

    Raises:
      OptionError: a file is there.
    """
    place = Path(output)
    there = next((path for path in (place, *place.parents) if os.path.lexists(path)), None)
    if there and not there.is_dir():
        raise OptionError(f"--output_dir {output}: {there} is a file; give the folder that the model is written to")
