"""The entry point `lmms_eval.models`, by which `lmms-eval` finds CaMML."""

from typing import Any


def manifest() -> Any:
    """Return the `ModelManifest` of the model `camml`."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="camml", simple_class_path="camml.evaluation.lmms_eval_model.CamMLModel")
