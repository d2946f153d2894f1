"""The model: a real transformers model, with its configuration and processor registered with the Auto classes.

modeling    the forward pass, top to bottom: samples to context tokens, the prompt with them, the model as it is
perceiver   the layers of the perceivers, and places      config      sizes and choices
pretrained  its base class: first weights, words, files      language    the language model inside another one
processor   questions, images and samples to tensors; rendering, batching   are its parts
llava_parts, llava_processor    a vision-language model out of a language model and a vision tower; parts   makes it
loading     loads any kind of model folder; the kinds are   folder, official, packed, lora
card, retrieval_settings        what a folder says to people, and to datastores
"""

from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.models.auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.models.auto.processing_auto import AutoProcessor

from camml.model.config import CamMLConfig
from camml.model.llava_parts import LlavaPartsConfig, LlavaPartsForConditionalGeneration
from camml.model.llava_processor import LlavaPartsProcessor
from camml.model.loading import check_fits, load_model
from camml.model.modeling import CamMLForConditionalGeneration, ContextPerceiver
from camml.model.official import OFFICIAL_MODEL_TYPE, OfficialConfig
from camml.model.processor import CamMLProcessor

for config, model, processor in (
    (LlavaPartsConfig, LlavaPartsForConditionalGeneration, LlavaPartsProcessor),
    (CamMLConfig, CamMLForConditionalGeneration, CamMLProcessor),
):
    AutoConfig.register(config.model_type, config, exist_ok=True)
    AutoModelForImageTextToText.register(config, model, exist_ok=True)
    AutoProcessor.register(config, processor, exist_ok=True)
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[config.model_type] = model.__name__  # so that pipelines take it
CONFIG_MAPPING.register(OFFICIAL_MODEL_TYPE, OfficialConfig, exist_ok=True)

__all__ = [
    "CamMLConfig",
    "CamMLForConditionalGeneration",
    "CamMLProcessor",
    "ContextPerceiver",
    "LlavaPartsConfig",
    "LlavaPartsForConditionalGeneration",
    "LlavaPartsProcessor",
    "check_fits",
    "load_model",
]
