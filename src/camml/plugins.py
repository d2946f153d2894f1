"""The folder is the registry: a file put into it is a new choice, with no list to edit."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from camml.errors import UnknownNameError


def names(folder: str) -> list[str]:
    """The names of all choices in `camml/<folder>`, sorted, found without importing any."""
    spec = find_spec(f"camml.{folder}")
    places = (spec.submodule_search_locations or []) if spec else []
    return sorted(
        file.stem for place in places for file in Path(place).glob("*.py") if not file.stem.startswith(("_", "."))
    )


def find(folder: str, name: str) -> ModuleType:
    """The one module called `name` in `camml/<folder>`.

    Raises:
      UnknownNameError: there is no such file; the message lists those there are.
    """
    if name not in names(folder):
        raise UnknownNameError(f"no {name!r} in camml/{folder}; there are: {', '.join(names(folder))}")
    return import_module(f"camml.{folder}.{name}")
