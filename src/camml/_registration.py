"""Let transformers' Auto classes know CaMML's models from `import camml` on, which imports neither of them.

transformers keeps what others registered in a dictionary beside each of its tables. Here these dictionaries import
`camml.model`, which registers itself, when one of its names is looked for: not before, so that nothing is slowed down,
and not in the middle of an import of transformers' own.
"""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

KINDS = ("camml", "CaMML", "llava_parts")
"""The `model_type` of every kind of folder that is ours; the second is that of the official layout."""

_TABLES = {
    "transformers.models.auto.configuration_auto": "CONFIG_MAPPING",
    "transformers.models.auto.processing_auto": "PROCESSOR_MAPPING",
}


class _Registered(dict[Any, Any]):
    """A table of transformers' extra entries that adds CaMML's as soon as they are looked for."""

    def __contains__(self, key: object) -> bool:
        if key in KINDS and not super().__contains__(key):
            import_module("camml.model")
        return super().__contains__(key)

    def values(self) -> Any:
        """Return all that was registered; processors are looked for by the name of their class."""
        import_module("camml.model")
        return super().values()


class _Finder(MetaPathFinder):
    """Finds the modules that hold the tables as others would, and looks after the tables once they are there."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return how to import a module that holds a table, and None for all others."""
        if fullname not in _TABLES:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next((spec for finder in others if (spec := finder.find_spec(fullname, path, target))), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _extend(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _extend(module: ModuleType) -> None:
    """Register CaMML's names in the table of a module."""
    table = getattr(module, _TABLES[module.__name__], None)
    own = getattr(table, "_extra_content", None)
    if type(own) is dict:
        table._extra_content = _Registered(own)  # type: ignore[union-attr]


def register() -> None:
    """Register CaMML's models with transformers, whether it is imported already or will be."""
    for name in _TABLES:
        if name in sys.modules:
            _extend(sys.modules[name])
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
