"""What a vision tower gives for images, before it is projected to the width of the language model."""

import inspect

from torch import Tensor
from transformers import PreTrainedModel

from camml.model.config import CamMLConfig


def patch_features(tower: PreTrainedModel, config: CamMLConfig, pixel_values: Tensor) -> Tensor:
    """float[N, Lv, W] for N images float[N, 3, H, W]: their patches at the layer of `tower` that `config` names.

    A tower gets images of another side than it was trained for with its positions interpolated.
    """
    options = {"output_hidden_states": True}
    asked = "interpolate_pos_encoding"  # of towers that have no such switch some always interpolate
    if config.image_size != config.vision_config.image_size and asked in inspect.signature(tower.forward).parameters:
        options[asked] = True
    output = tower(pixel_values.to(tower.dtype), **options)
    features: Tensor = output.hidden_states[config.vision_feature_layer]
    if config.vision_feature_select == "patch":  # CLS and register tokens come first
        features = features[:, -config.patch_tokens :]
    return features
