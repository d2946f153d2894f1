"""Registries of encoders, stores, tasks, formats, ...: every file in a folder is a choice, with no list to edit.

Other packages add choices by entry points: the groups are in `GROUPS`, the name of an entry point is the name of the
choice, and its value names a module with the same content as a file in the folder. A file in the folder comes first.
"""

import logging
from collections.abc import Collection, Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from camml.errors import PluginError, UnknownNameError

GROUPS = {
    "encoders": "camml.encoders",
    "stores": "camml.stores",
    "evaluation.tasks": "camml.tasks",
    "formats": "camml.formats",
}
"""The group of entry points by the folder that they add to."""

NOUNS = {
    "answering": "way of using samples",
    "cli": "verb",
    "encoders": "encoder",
    "evaluation.tasks": "benchmark",
    "factpix.topics": "topic",
    "formats": "format",
    "serving.engines": "engine",
    "stores": "vector store",
    "weights": "source of weights",
}
"""The word for a choice of each folder, as messages call it."""

_logger = logging.getLogger("camml")
_reported: set[str] = set()


def names(folder: str) -> list[str]:
    """List the names of all choices for `camml/<folder>`, sorted, without importing any."""
    return sorted({*_files(folder), *_points(folder)})


def find(folder: str, name: str) -> ModuleType:
    """Import the choice called `name` for `camml/<folder>`.

    Raises:
      UnknownNameError: there is none; the message lists those there are.
      PluginError: another package adds it and it cannot be used, or several packages do.
    """
    if name in _files(folder):
        return import_module(f"camml.{folder}.{name}")
    points = _points(folder).get(name)
    if not points:
        raise UnknownNameError(f"no {NOUNS[folder]} {name!r}; there are: {', '.join(names(folder))}")
    return _load(points)


def working(folder: str, only: Collection[str] | None = None) -> Iterator[tuple[str, ModuleType]]:
    """Yield name and module of the choices that can be imported; the log names those of other packages that cannot.

    Args:
      only: the names of choices to import; None for all.
    """
    for name in names(folder) if only is None else only:
        try:
            module = find(folder, name)
        except PluginError as error:
            if str(error) not in _reported:
                _reported.add(str(error))
                _logger.warning("%s", error)
        else:
            yield name, module


def _files(folder: str) -> set[str]:
    spec = find_spec(f"camml.{folder}")
    places = (spec.submodule_search_locations or []) if spec else []
    stems = (file.stem for place in places for file in Path(place).glob("*.py"))
    return {stem for stem in stems if not stem.startswith(("_", "."))}


def _points(folder: str) -> dict[str, list[EntryPoint]]:
    """Return the entry points for a folder by name; a package that is installed twice counts once."""
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUPS[folder]) if folder in GROUPS else ():
        if point not in points.setdefault(point.name, []):
            points[point.name].append(point)
    return points


def _load(points: list[EntryPoint]) -> ModuleType:
    if len(points) > 1:
        packages = " and ".join(sorted(map(_package, points)))
        raise PluginError(f"{points[0].name!r} of {points[0].group} is added by {packages}; remove one of them")
    (point,) = points
    where = f"the plug-in {point.name!r} ({point.group}) of {_package(point)}"
    try:
        module = point.load()
    except Exception as error:  # whatever the code of others raises while it is imported
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(f"{where} cannot be imported ({why}); update or remove that package") from error
    if not isinstance(module, ModuleType):
        raise PluginError(f"{where} must name a module, such as 'package.module', not {point.value!r}")
    return module


def _package(point: EntryPoint) -> str:
    return f"the package {point.dist.name!r}" if point.dist else "an unknown package"
