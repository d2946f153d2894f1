"""Faults of an entry in words."""

from collections.abc import Mapping
from typing import Any

from camml.json_values import most_repeated


class BadEntry(Exception):
    """The fault of an entry, to be completed with its file, place and id."""


class Repeated(dict[str, Any]):
    """An object of JSON in which a key is there twice.

    Attributes:
      key: that key; the last of its values is in the object.
    """

    key: str


def marked_if_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON as the `object_pairs_hook` of `json.loads`; a `Repeated`, if a key repeats."""
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    repeated = Repeated(made)
    repeated.key = most_repeated(pairs)
    return repeated


def check_keys(value: object) -> None:
    """Raise if a key is there twice in a value of JSON, of which the last value would count silently.

    Raises:
      BadEntry: a key repeats.
    """
    level = [value]
    while level := [inner for inner in level if isinstance(inner, Mapping | list)]:
        for inner in level:
            if isinstance(inner, Repeated):
                raise BadEntry(f"the key {inner.key!r} is there twice; leave one out")
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, Mapping) else outer)]


def kind(value: object) -> str:
    """Return the kind of a JSON value, in words."""
    if isinstance(value, dict):
        return "an object"
    words = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")


def keys_of(entry: Mapping[str, Any]) -> str:
    """Return the first keys of an entry."""
    return ", ".join(map(repr, list(entry)[:8])) or "none"
