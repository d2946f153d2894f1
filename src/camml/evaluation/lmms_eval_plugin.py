"""What `lmms-eval` finds of CaMML through its entry-point group `lmms_eval.models`."""

from typing import Any


def manifest() -> Any:
    """The `ModelManifest` of the model `camml`."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="camml", simple_class_path="camml.evaluation.lmms_eval_model.CamMLModel")
