"""The model: a real transformers model, with its configuration and processor registered with the Auto classes."""

from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.models.auto.processing_auto import AutoProcessor

from camml.model.config import CamMLConfig
from camml.model.modeling import CamMLForConditionalGeneration
from camml.model.perceiver import ContextPerceiver
from camml.model.placement import fill_placeholders
from camml.model.processor import CamMLProcessor

AutoConfig.register(CamMLConfig.model_type, CamMLConfig, exist_ok=True)
AutoModelForImageTextToText.register(CamMLConfig, CamMLForConditionalGeneration, exist_ok=True)
AutoProcessor.register(CamMLConfig, CamMLProcessor, exist_ok=True)

__all__ = ["CamMLConfig", "CamMLForConditionalGeneration", "CamMLProcessor", "ContextPerceiver", "fill_placeholders"]
