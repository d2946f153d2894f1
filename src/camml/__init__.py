"""CaMML, a Context-Aware MultiModal Learner: answers about images, grounded in samples you index once.

The names below are imported when they are first used, so that `import camml` and `camml --help` stay quick. From then
on transformers' Auto classes and pipelines load folders of CaMML.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from camml import _registration

if TYPE_CHECKING:
    from camml.assistant import Answer, Assistant, Collection, load
    from camml.datastore import Datastore
    from camml.errors import CaMMLError
    from camml.model import CamMLConfig, CamMLForConditionalGeneration, CamMLProcessor, load_model
    from camml.retriever import Retriever
    from camml.types import Context, Neighbor, Prediction, Query, Sample

__version__ = "0.2.0"

__all__ = [
    "Answer",
    "Assistant",
    "CaMMLError",
    "CamMLConfig",
    "CamMLForConditionalGeneration",
    "CamMLProcessor",
    "Collection",
    "Context",
    "Datastore",
    "Neighbor",
    "Prediction",
    "Query",
    "Retriever",
    "Sample",
    "load",
    "load_model",
]

_MODULES = {
    "camml.assistant": ("Answer", "Assistant", "Collection", "load"),
    "camml.datastore": ("Datastore",),
    "camml.errors": ("CaMMLError",),
    "camml.model": ("CamMLConfig", "CamMLForConditionalGeneration", "CamMLProcessor", "load_model"),
    "camml.retriever": ("Retriever",),
    "camml.types": ("Context", "Neighbor", "Prediction", "Query", "Sample"),
}

_registration.register()


def __getattr__(name: str) -> Any:
    """Return a public name from the file that defines it, imported on first use."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'camml' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names for `dir` and completion."""
    return sorted([*__all__, "__version__"])
