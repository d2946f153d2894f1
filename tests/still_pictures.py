"""Stand-ins for what transformers imports only with torchvision and num2words, none of which a still picture needs.

With both installed nothing is changed.
"""

import importlib
import sys
from typing import Any, ClassVar

import transformers
from transformers import processing_utils, video_processing_utils
from transformers.image_processing_utils import BaseImageProcessor
from transformers.utils import is_torchvision_available

# the name of the class that processors accept as their video processor: since 5.19 a new one
_NAME = "VideoProcessorMixin" if hasattr(video_processing_utils, "VideoProcessorMixin") else "BaseVideoProcessor"
_BASE: type = getattr(video_processing_utils, _NAME)
_VIDEOS = ["LlavaOnevision", "Qwen2VL", "Qwen3VL", "SmolVLM", "InternVL", "Glm4v"]
_STAND_INS: dict[str, type] = {}


class StillPicturesOnly(_BASE):  # type: ignore[misc, valid-type]
    """A video processor that is saved and loaded like any other and refuses videos."""

    model_input_names: ClassVar = ["pixel_values_videos", "video_grid_thw"]
    merge_size = temporal_patch_size = 2
    num_frames = fps = None

    def __init__(self, **kwargs: Any) -> None:
        BaseImageProcessor.__init__(self, **kwargs)

    def preprocess(self, videos: Any, **kwargs: Any) -> Any:
        """Raise, whatever the video."""
        raise NotImplementedError("this stand-in reads no videos: they need torchvision")


def video_processor(class_name: str) -> Any:
    """Return a video processor of this name: the real one, or a stand-in where torchvision is missing."""
    return (_STAND_INS.get(class_name) or getattr(transformers, class_name))()


def prepare() -> None:
    """Put the stand-ins where the processors, and `AutoProcessor` when it reads a folder, look for the real ones."""
    smolvlm: Any = importlib.import_module("transformers.models.smolvlm.processing_smolvlm")
    smolvlm.num2words = smolvlm.num2words or str  # spells the number of frames of a video
    if is_torchvision_available() or _STAND_INS:
        return
    # where processors look that name up there is, without torchvision, none or a dummy
    setattr(processing_utils.transformers_module, _NAME, _BASE)
    auto = importlib.import_module("transformers.models.auto.video_processing_auto").AutoVideoProcessor
    for name in (f"{prefix}VideoProcessor" for prefix in _VIDEOS):
        _STAND_INS[name] = type(name, (StillPicturesOnly,), {"__module__": __name__})
        # found by its name: registrations for configs of transformers itself are ignored before 5.19
        auto.register(_STAND_INS[name], _STAND_INS[name], exist_ok=True)
    _pixtral()


def _pixtral() -> None:
    """Offer Pixtral's processor: of what needs torchvision it imports one function, which the PIL module has too."""
    package = importlib.import_module("transformers.models.pixtral")
    folder = package.__name__
    sys.modules[f"{folder}.image_processing_pixtral"] = importlib.import_module(
        f"{folder}.image_processing_pil_pixtral"
    )
    real = importlib.import_module(f"{folder}.processing_pixtral").PixtralProcessor
    for module in (package, transformers):
        setattr(module, "PixtralProcessor", real)  # noqa: B010
