"""The image processor of a tower, as transformers' `preprocessor_config.json` describes it."""

import json
from collections.abc import Sequence
from pathlib import Path


def write_preprocessor(folder: Path, kind: str, mean: Sequence[float], std: Sequence[float]) -> None:
    """Write the description of a processor that resizes and crops pictures to 224 pixels.

    Args:
      kind: the class in transformers.
      mean, std: by which each of the three colours is normalised.
    """
    about = {
        "image_processor_type": kind,
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": 224},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(about, indent=2) + "\n")
